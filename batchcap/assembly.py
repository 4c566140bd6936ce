"""Builds the objects of a run, opens and closes them in order.

The only file that knows every class.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import anyio
from anyio.abc import TaskGroup

from batchcap.circuit import Circuit
from batchcap.download import CaptionDownloader
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.errors import FatalError, UsageError
from batchcap.filehost import FileHosts
from batchcap.hearing import Announce, Hearing
from batchcap.interfaces import KeyValueStore, Ledger, Observer, Provider
from batchcap.network import Network, network_settings
from batchcap.pacing import Bucket
from batchcap.providers import PROVIDERS, ProviderContext, ProviderSettings, ProviderSpec
from batchcap.providers.registry import read_secrets
from batchcap.sender import HttpSender
from batchcap.settings import Secrets, Settings, inbox_folder
from batchcap.stopping import Stop
from batchcap.store import CaptionStore
from batchcap.transport import Api
from batchcap.webhooks.event import Webhook
from batchcap.webhooks.signing import require_secrets

FILE_THREADS = 4  # a batch of small files takes one; the others stream large ones
_OPEN = "run.open"
"""What the ledger remembers of a run that has not come to its end: when it began."""


class Reach:
    """Builds providers that can be asked, each within the budget of its buckets.

    A bucket lets nobody pass before its `dispatch` runs.
    """

    def __init__(
        self,
        settings: Settings,
        memory: KeyValueStore,
        providers: Mapping[str, ProviderSettings],
        network: Network,
        observer: Observer,
        now: Callable[[], float],
        stops: Mapping[str, Stop],
    ) -> None:
        self._settings, self._memory, self.network = settings, memory, network
        self._providers, self._observer, self._now = providers, observer, now
        self._stops = stops
        self._connections = anyio.Semaphore(settings.connections, fast_acquire=True)
        self.buckets: dict[str, Bucket] = {}

    async def provider(self, stack: AsyncExitStack, spec: ProviderSpec) -> Provider:
        """A provider, open until the stack is left."""
        mine, stop = self._providers[spec.name], self._stops[spec.name]
        observer, now = self._observer, self._now
        read, write = (self._bucket(spec, name, stop) for name in (spec.read, spec.write))
        sender = HttpSender(mine.base_url, spec.headers(mine.secrets), self.network)
        api = Api(sender, spec.name, read=read, write=write, stop=stop, observer=observer, now=now)
        await stack.enter_async_context(api)
        return spec.build(ProviderContext(api, mine, self._memory, observer, now))

    def _bucket(self, spec: ProviderSpec, name: str, stop: Stop) -> Bucket:
        if name not in self.buckets:
            self.buckets[name] = Bucket(
                name,
                self._settings.rate(name, spec.rates[name]),
                connections=self._connections,
                stop=stop,
                memory=self._memory,
                observer=self._observer,
                now=self._now,
                adaptive=name in spec.learned - self._settings.rates.keys(),
                quota_share=self._settings.quota_share,
            )
        return self.buckets[name]


class Run:
    """One run over an open ledger; files are written in threads if `executor` is given.

    Otherwise everything is done in the loop (virtual time).
    """

    def __init__(  # noqa: PLR0913  # all that a run depends on, given by name
        self,
        settings: Settings,
        ledger: Ledger,
        providers: Mapping[str, ProviderSettings],
        network: Network,
        observer: Observer,
        now: Callable[[], float],
        stop: Stop,
        *,
        executor: Executor | None,
        hearing: Hearing,
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._hearing = hearing
        self._providers, self._observer, self._now = providers, observer, now
        self._executor = executor
        self._stops = {name: stop.child() for name in providers}
        self._fatal: list[FatalError] = []
        self._reach = Reach(settings, ledger, providers, network, observer, now, self._stops)

    async def work(self, died_at: float | None) -> list[FatalError]:
        """Work until all rows have ended; returns what stopped lanes, if anything did.

        `died_at` is when the last run began, where it did not come to its end.
        """
        async with anyio.create_task_group() as group:
            await self._carry_all(group, died_at)
            group.cancel_scope.cancel()
        return self._fatal

    async def _carry_all(self, group: TaskGroup, died_at: float | None) -> None:
        async with AsyncExitStack() as stack:
            store = CaptionStore(self._settings.out, self._executor)
            stack.push_async_callback(store.drain)
            downloads = asyncio.Semaphore(self._settings.downloads)
            lanes = [
                await self._lane(stack, PROVIDERS[name], store, downloads)
                for name in self._providers
            ]
            for bucket in self._reach.buckets.values():
                group.start_soon(bucket.run)
                if died_at is not None:  # its last second is not over yet
                    bucket.pause(bucket.window)
            policy = Policy(
                job_timeout=self._settings.job_timeout,
                settle=self._settings.settle,
                retry_jobs=self._settings.retry_jobs,
                adopt_since=died_at,
            )
            engine = Engine(self._ledger, lanes, policy, self._observer, self._now)
            self._fatal = engine.fatal
            pollers = {lane.provider.name: lane.poller for lane in lanes}
            await self._hearing.start(stack, group, pollers)
            await engine.run()
            for bucket in self._reach.buckets.values():
                bucket.close()

    async def _lane(
        self,
        stack: AsyncExitStack,
        spec: ProviderSpec,
        store: CaptionStore,
        downloads: asyncio.Semaphore,
    ) -> Lane:
        mine, stop = self._providers[spec.name], self._stops[spec.name]
        observer, now = self._observer, self._now
        provider = await self._reach.provider(stack, spec)
        network = self._reach.network
        hosts = FileHosts(network, loopback=mine.loopback, observer=observer, now=now)
        await stack.enter_async_context(hosts)
        largest = self._settings.max_caption
        window = self._settings.windows.get(spec.name, spec.window)
        return Lane(
            provider=provider,
            poller=Poller(provider, stop, observer, self._ledger, window=window),
            downloader=CaptionDownloader(
                store,
                hosts,
                slots=downloads,
                largest=largest,
                stop=stop,
                circuit=Circuit(f"{spec.name}'s file hosts", stop, observer),
            ),
            stop=stop,
            window=window,
        )


def claim_origins(ledger: KeyValueStore, providers: Mapping[str, ProviderSettings]) -> None:
    """A ledger belongs to one origin per provider; raise `UsageError` for another one."""
    for name, mine in providers.items():
        _check_origin(name, ledger.get(f"origin.{name}"), mine.origin)
    for name, mine in providers.items():
        ledger.set(f"origin.{name}", mine.origin)


def check_beforehand(
    ledger: Ledger,
    environment: Mapping[str, str],
    settings: Settings,
    *,
    sandbox: bool,
) -> None:
    """Raise `UsageError` for rows that could not be worked on, while their import can be undone."""
    around = {} if sandbox else environment
    there = ledger.providers_with_pending()
    providers = {
        name: spec.configure(around, settings, sandbox=sandbox)
        for name, spec in PROVIDERS.items()
        if name in there
    }
    for name, mine in providers.items():
        _check_origin(name, ledger.get(f"origin.{name}"), mine.origin)
    network_settings(around, settings.proxy, settings.ca_file)
    if settings.listening is not None and not sandbox:
        require_secrets(_webhooks(providers), _secrets(environment), settings.listening)


def _check_origin(name: str, known: str | None, mine: str) -> None:
    if known in {None, mine}:
        return
    flag = "add" if known == "sandbox" else "leave out"
    hint = f"For this ledger {flag} --sandbox" if "sandbox" in {known, mine} else ""
    raise UsageError(
        f"this ledger belongs to {name} at {known}, not at {mine}",
        hint=hint or "Use another folder: --out",
    )


def providers_in_use(
    names: list[str], environment: Mapping[str, str], settings: Settings, *, sandbox: bool
) -> dict[str, ProviderSettings]:
    """Settings for the providers that have rows to work on, credentials checked."""
    found = {}
    for name in names:
        found[name] = PROVIDERS[name].configure(environment, settings, sandbox=sandbox)
        PROVIDERS[name].require_credentials(found[name].secrets)
    return found


def _webhooks(providers: Iterable[str]) -> list[Webhook]:
    """Return the webhooks of those providers that send any."""
    return [webhook for name in providers if (webhook := PROVIDERS[name].webhook)]


def _secrets(environment: Mapping[str, str]) -> Secrets:
    return read_secrets(PROVIDERS.values(), environment)


@asynccontextmanager
async def asking(
    settings: Settings,
    memory: KeyValueStore,
    names: list[str],
    environment: Mapping[str, str],
    observer: Observer,
    *,
    sandbox: bool,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[dict[str, Provider]]:
    """Providers to ask things of, by name, without an engine.

    Raises `UsageError` and `FatalError` for what is found before anything is asked.
    """
    providers = providers_in_use(names, environment, settings, sandbox=sandbox)
    claim_origins(memory, providers)
    stops = {name: Stop() for name in names}
    network = network_settings(environment, settings.proxy, settings.ca_file)
    reach = Reach(settings, memory, providers, network, observer, now, stops)
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        found = {name: await reach.provider(stack, PROVIDERS[name]) for name in names}
        for bucket in reach.buckets.values():
            group.start_soon(bucket.run)
        yield found
        for bucket in reach.buckets.values():
            bucket.close()
        group.cancel_scope.cancel()


async def work(  # noqa: PLR0913  # the choices of a run, given by name
    settings: Settings,
    ledger: Ledger,
    environment: Mapping[str, str],
    observer: Observer,
    *,
    sandbox: bool = False,
    stop: Stop | None = None,
    now: Callable[[], float] = time.time,
    threads: bool = True,
    announce: Announce | None = None,
) -> list[FatalError]:
    """Work on the rows of an open ledger until all have ended, or the run has to stop.

    With `threads`, the ledger is committed in one thread and files are written in a few
    others; without, everything is done in the event loop (virtual time). On return no
    thread is at work any more: whoever gets the run's lock next has the folder alone.

    `announce` is told where webhooks are received, where they are.

    Returns what stopped providers' lanes; `stop` ends all of them in order.

    Raises `UsageError` and `FatalError` for what is found before anything is started.
    """
    pending = ledger.providers_with_pending()
    names = [name for name in PROVIDERS if name in pending]
    providers = providers_in_use(names, environment, settings, sandbox=sandbox)
    network = network_settings(environment, settings.proxy, settings.ca_file)
    hearing = Hearing(
        settings.listening,
        _webhooks(providers),
        _secrets(environment),
        inbox=None if sandbox else inbox_folder(environment),
        announce=announce,
        observer=observer,
        now=now,
    )
    async with ledger.recording(threads=threads):
        claim_origins(ledger, providers)
        died_at = ledger.get(_OPEN) or None
        ledger.set(_OPEN, died_at or repr(now()))
        with _file_threads() if threads else nullcontext() as executor:
            run = Run(
                settings,
                ledger,
                providers,
                network,
                observer,
                now,
                stop or Stop(),
                executor=executor,
                hearing=hearing,
            )
            fatal = await run.work(float(died_at) if died_at else None)
        ledger.set(_OPEN, "")
        return fatal


def _file_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files")
