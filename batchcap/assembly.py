"""Builds the objects of a run, opens and closes them in order.

The only file that knows every class.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack

import anyio
from anyio.abc import TaskGroup

from batchcap.download import CaptionDownloader
from batchcap.engine import Engine, Lane, Policy
from batchcap.errors import FatalError, UsageError
from batchcap.filehost import FileHosts
from batchcap.interfaces import Observer
from batchcap.ledger import SqliteLedger, waiting
from batchcap.pacing import Bucket
from batchcap.poller import Poller
from batchcap.providers import PROVIDERS, Entry, Parts
from batchcap.settings import ProviderSettings, Settings, provider_settings, require
from batchcap.stopping import Stop
from batchcap.store import CaptionStore
from batchcap.transport import Api


class Run:
    """One run over an open ledger. `threads` off: everything in the loop (virtual time)."""

    def __init__(
        self,
        settings: Settings,
        ledger: SqliteLedger,
        providers: Mapping[str, ProviderSettings],
        observer: Observer,
        now: Callable[[], float],
        stop: Stop,
        *,
        threads: bool = True,
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._providers, self._observer, self._now = providers, observer, now
        self._threads = threads
        self._stops = {name: stop.child() for name in providers}
        self._fatal: list[FatalError] = []
        self.buckets: dict[str, Bucket] = {}

    async def work(self) -> list[FatalError]:
        """Work until all rows have ended; returns what stopped lanes, if anything did."""
        async with anyio.create_task_group() as group:
            await self._carry_all(group)
            group.cancel_scope.cancel()
        return self._fatal

    async def _carry_all(self, group: TaskGroup) -> None:
        async with AsyncExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(4)) if self._threads else None
            store = CaptionStore(self._settings.out, executor)
            stack.push_async_callback(store.drain)
            connections = anyio.Semaphore(self._settings.connections, fast_acquire=True)
            downloads = anyio.Semaphore(self._settings.downloads, fast_acquire=True)
            lanes = [
                await self._lane(stack, PROVIDERS[name], store, connections, downloads)
                for name in self._providers
            ]
            for bucket in self.buckets.values():
                group.start_soon(bucket.dispatch)
            policy = Policy(
                self._settings.job_timeout, self._settings.settle, self._settings.retry_jobs
            )
            engine = Engine(self._ledger, lanes, policy, self._observer, self._now)
            self._fatal = engine.fatal
            await engine.run()

    async def _lane(
        self,
        stack: AsyncExitStack,
        entry: Entry,
        store: CaptionStore,
        connections: anyio.Semaphore,
        downloads: anyio.Semaphore,
    ) -> Lane:
        mine, stop = self._providers[entry.name], self._stops[entry.name]
        observer, now = self._observer, self._now
        read, write = (self._bucket(name, stop, connections) for name in (entry.read, entry.write))
        headers = entry.headers(mine.secrets)
        api = Api(
            mine.base_url, headers, read=read, write=write, stop=stop, observer=observer, now=now
        )
        hosts = FileHosts(loopback=mine.loopback, observer=observer, now=now)
        await stack.enter_async_context(api)
        await stack.enter_async_context(hosts)
        provider = entry.build(Parts(api, mine, self._ledger, observer, now))
        largest = self._settings.max_caption
        return Lane(
            provider=provider,
            poller=Poller(provider, stop, observer),
            downloader=CaptionDownloader(store, hosts, slots=downloads, largest=largest, stop=stop),
            stop=stop,
            window=self._settings.windows[entry.name],
        )

    def _bucket(self, name: str, stop: Stop, connections: anyio.Semaphore) -> Bucket:
        if name not in self.buckets:
            self.buckets[name] = Bucket(
                name,
                self._settings.rate(name),
                connections=connections,
                stop=stop,
                memory=self._ledger,
                observer=self._observer,
                now=self._now,
                learns=name in self._settings.learned,
            )
        return self.buckets[name]


def claim_origins(ledger: SqliteLedger, providers: Mapping[str, ProviderSettings]) -> None:
    """A ledger belongs to one origin per provider; raise `UsageError` for another one."""
    for name, mine in providers.items():
        known = ledger.recall(f"origin.{name}")
        if known not in {None, mine.origin}:
            flag = "add" if known == "sandbox" else "leave out"
            hint = f"For this ledger {flag} --sandbox" if "sandbox" in {known, mine.origin} else ""
            raise UsageError(
                f"this ledger belongs to {name} at {known}, not at {mine.origin}",
                hint=hint or "Use another folder: --out",
            )
    for name, mine in providers.items():
        ledger.note(f"origin.{name}", mine.origin)


def providers_in_use(
    names: list[str], environment: Mapping[str, str], settings: Settings, *, sandbox: bool
) -> dict[str, ProviderSettings]:
    """Settings for the providers that have rows to work on, credentials checked."""
    found = {}
    for name in names:
        entry = PROVIDERS[name]
        found[name] = provider_settings(environment, entry.base_url, settings, sandbox=sandbox)
        require(name, entry.credentials, found[name].secrets)
    return found


async def work(
    settings: Settings,
    connection: sqlite3.Connection,
    environment: Mapping[str, str],
    observer: Observer,
    *,
    sandbox: bool = False,
    stop: Stop | None = None,
    now: Callable[[], float] = time.time,
    threads: bool = True,
) -> list[FatalError]:
    """Work on the rows of an open ledger until all have ended, or the run has to stop.

    Returns what stopped providers' lanes; `stop` ends all of them in order.

    Raises `UsageError` and `FatalError` for what is found before anything is started.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(ThreadPoolExecutor(1, "ledger")) if threads else None
        ledger = SqliteLedger(connection, settings.out, executor=writer, now=now)
        names = [name for name in PROVIDERS if name in waiting(connection)]
        providers = providers_in_use(names, environment, settings, sandbox=sandbox)
        claim_origins(ledger, providers)
        try:
            run = Run(settings, ledger, providers, observer, now, stop or Stop(), threads=threads)
            return await run.work()
        finally:
            with anyio.CancelScope(shield=True):
                await ledger.drain()
