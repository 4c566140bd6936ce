"""Wires the objects of a run together, and opens and closes them in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from batchcap.app.limits import create_until, unit_budget
from batchcap.app.providers import (
    ProviderFactory,
    check_origins,
    claim_origins,
    providers_in_use,
    secrets_in,
    webhooks_for,
)
from batchcap.app.quality import CaptionQuality
from batchcap.app.sources import fetching, providers_to_ask, source_fetchers
from batchcap.app.webhooks import OnListening, WebhookFeed
from batchcap.captions.downloader import CaptionDownloader
from batchcap.captions.file_host import FileHosts
from batchcap.domain.errors import FatalError
from batchcap.domain.events import Warned
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.protocols import Observer
from batchcap.domain.settings import Settings, inbox_folder
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.providers import PROVIDERS, ProviderSettings, ProviderSpec
from batchcap.reports.observers import each
from batchcap.reports.time_line import TimeLine
from batchcap.storage.file_store import CaptionStore
from batchcap.transport.circuit_breaker import CircuitBreaker
from batchcap.transport.network import Network, network_settings
from batchcap.transport.trace import HarFile

FILE_THREADS = 4  # a batch of small files takes one; the others stream large ones
_OPEN = "run.open"
"""The ledger's key for the start of a run that has not ended yet (unix seconds)."""


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
        stop: ShutdownToken,
        *,
        executor: Executor | None,
        webhooks: WebhookFeed,
        create_until: float | None,
    ) -> None:
        self._create_until = create_until
        self._budget = unit_budget(settings.limits)
        self._settings, self._ledger = settings, ledger
        self._webhooks = webhooks
        self._providers, self._observer, self._now = providers, observer, now
        self._executor = executor
        self._stops = {name: stop.child() for name in providers}
        self._fatal: list[FatalError] = []
        quality = settings.quality
        self._quality = None if quality is None else CaptionQuality(quality, settings.out)
        self._factory = ProviderFactory(
            settings, ledger, providers, network, observer, now, self._stops
        )

    async def run(self, died_at: float | None, time_line: TimeLine) -> list[FatalError]:
        """Work until all rows have ended, and return what stopped lanes, if anything did.

        `died_at` is when the last run began (unix seconds), if that run was killed.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(time_line.run)
            await self._run_lanes(group, died_at)
            group.cancel_scope.cancel()
        return self._fatal

    async def _run_lanes(self, group: TaskGroup, died_at: float | None) -> None:
        async with AsyncExitStack() as stack:
            store = CaptionStore(self._settings.out, self._executor)
            stack.push_async_callback(store.drain)
            downloads = asyncio.Semaphore(self._settings.downloads)
            lanes = [
                await self._lane(stack, PROVIDERS[name], store, downloads)
                for name in self._providers
            ]
            for bucket in self._factory.buckets.values():
                group.start_soon(bucket.run)
                if died_at is not None:  # it may have sent requests in the last second
                    bucket.pause(bucket.window)
            policy = Policy(
                job_timeout=self._settings.job_timeout,
                settle=self._settings.settle,
                retry_jobs=self._settings.retry_jobs,
                adopt_since=died_at,
                create_until=self._create_until,
            )
            fetchers = source_fetchers(lanes, self._ledger, self._settings, self._observer)
            observer = each(self._observer, *fetchers) if fetchers else self._observer
            engine = Engine(self._ledger, lanes, policy, observer, self._now)
            self._fatal = engine.fatal
            pollers = {lane.provider.name: lane.poller for lane in lanes}
            await self._webhooks.start(stack, group, pollers)
            async with fetching(fetchers, self._ledger):
                await engine.run()
            for bucket in self._factory.buckets.values():
                bucket.close()

    async def _lane(
        self,
        stack: AsyncExitStack,
        spec: ProviderSpec,
        store: CaptionStore,
        downloads: asyncio.Semaphore,
    ) -> Lane:
        settings, stop = self._providers[spec.name], self._stops[spec.name]
        observer, now = self._observer, self._now
        provider = await self._factory.provider(stack, spec)
        network = self._factory.network
        hosts = FileHosts(network, loopback=settings.loopback, observer=observer, now=now)
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
                circuit=CircuitBreaker(f"{spec.name}'s file hosts", stop, observer),
                observer=observer,
            ),
            stop=stop,
            window=window,
            budget=self._budget,
            quality=self._quality,
        )


async def run(  # noqa: PLR0913  # the choices of a run, given by name
    settings: Settings,
    ledger: Ledger,
    environment: Mapping[str, str],
    observer: Observer,
    *,
    sandbox: bool = False,
    stop: ShutdownToken | None = None,
    now: Callable[[], float] = time.time,
    threads: bool = True,
    on_listening: OnListening | None = None,
) -> list[FatalError]:
    """Work on the rows of an open ledger until all have ended, or the run has to stop.

    With `threads`, the ledger is committed in one thread and files are written in a few
    others; without, everything is done in the event loop (virtual time). On return no
    thread is at work any more, so the next run that gets the lock has the folder alone.

    `on_listening` is called with the endpoints for webhooks, if there are any. `stop` ends all
    lanes in order. Returns what stopped providers' lanes.

    Raises:
        UsageError: An option is invalid, or the ledger belongs to another origin.
        FatalError: A credential is missing.
    """
    check_origins(ledger, environment, settings, sandbox=sandbox)
    names = providers_to_ask(ledger, settings)
    providers = providers_in_use(names, environment, settings, sandbox=sandbox)
    network = network_settings(environment, settings.proxy, settings.ca_file)
    webhooks = WebhookFeed(
        settings.listening,
        webhooks_for(providers),
        secrets_in(environment),
        inbox=None if sandbox else inbox_folder(environment),
        on_listening=on_listening,
        observer=observer,
        now=now,
    )
    async with ledger.recording(threads=threads):
        claim_origins(ledger, providers)
        with (
            _open_run(ledger, now) as died_at,
            _file_threads() if threads else nullcontext() as executor,
            _traced(network, settings.trace_file, observer) as network,
        ):
            time_line = TimeLine(ledger, now)
            work = Run(
                settings,
                ledger,
                providers,
                network,
                each(observer, time_line),
                now,
                stop or ShutdownToken(),
                executor=executor,
                webhooks=webhooks,
                create_until=create_until(ledger, settings, sandbox=sandbox),
            )
            return await work.run(died_at, time_line)


@contextmanager
def _open_run(ledger: Ledger, now: Callable[[], float]) -> Iterator[float | None]:
    """Mark the ledger as being worked on; yields when the last run began, if it was killed.

    If the block raises, the mark stays.
    """
    began = ledger.get(_OPEN)
    ledger.set(_OPEN, began or repr(now()))
    yield float(began) if began else None
    ledger.set(_OPEN, "")


@contextmanager
def _traced(network: Network, file: Path | None, observer: Observer) -> Iterator[Network]:
    """Record every request in a file, if one is given.

    Raises:
        UsageError: It cannot be opened.
    """
    if file is None:
        yield network
    else:
        with closing(HarFile(file, lambda reason: observer(Warned(reason)))) as trace:
            yield replace(network, trace=trace)


def _file_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files")
