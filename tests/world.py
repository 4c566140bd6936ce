"""A whole run in the test's own loop: engine, sandbox and ledger on one clock."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

import anyio
import msgspec

from batchcap.app.run import run
from batchcap.app.webhooks import OnListening
from batchcap.cli.log import observers
from batchcap.domain.errors import FatalError
from batchcap.domain.events import Event, Warned
from batchcap.domain.models import Row
from batchcap.domain.protocols import Observer, Provider
from batchcap.domain.settings import ListenAddress, Settings
from batchcap.domain.shutdown import ShutdownToken
from batchcap.manifest import ManifestOptions, read
from batchcap.providers import PROVIDERS, ProviderContext
from batchcap.providers.registry import documented_rates
from batchcap.reports.metrics import Metrics
from batchcap.sandbox import Sandbox
from batchcap.storage.ledger import file, open_ledger
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.rate_limiter import Bucket
from batchcap.transport.sender import HttpSender
from tests.fakes import Notes, now

LIFTED: dict[str, float | None] = dict.fromkeys(documented_rates(PROVIDERS.values()))
"""No limit on any bucket."""

COLUMNS = {name: spec.columns for name, spec in PROVIDERS.items()}


def lifted(out: Path, **changes: Any) -> Settings:
    """Settings without limits."""
    return msgspec.structs.replace(Settings(out=out, rates=LIFTED), **changes)


def mux_row(source_id: str, target: str = "es", **params: Any) -> Row:
    """A Mux row as a manifest makes it."""
    return Row(
        number=1,
        key=f"mux:{source_id}:{target}",
        provider="mux",
        source_id=source_id,
        language=target,
        target=target,
        path=f"mux/{source_id}.{target}.vtt",
        params=params,
    )


def heygen_row(source_id: str) -> Row:
    """A HeyGen row as a manifest makes it."""
    return Row(
        number=1,
        key=f"heygen:{source_id}",
        provider="heygen",
        source_id=source_id,
        language=None,
        path=f"heygen/{source_id}.vtt",
    )


def ledger_sql(out: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Execute SQL on an output folder's ledger that no run has open; returns the rows."""
    with closing(sqlite3.connect(file(out), isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


class Desk:
    """One provider, ready to be asked, and what it noted and said."""

    provider: Provider

    def __init__(self) -> None:
        self.notes = Notes()
        self.warnings: list[str] = []

    def observe(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event.message)


class Server(Protocol):
    """Whatever serves a provider's API."""

    def environment(self) -> dict[str, str]:
        """The variables that point batchcap at it."""
        ...


@asynccontextmanager
async def desk(
    sandbox: Server,
    name: str,
    environment: Mapping[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[Desk]:
    """A provider of the table on a running sandbox, at lifted limits."""
    here, spec, stop = Desk(), PROVIDERS[name], ShutdownToken()
    around = {**sandbox.environment(), **(environment or {})}
    settings = lifted(Path("captions"), **changes)
    mine = spec.configure(around, settings, sandbox=True)
    tools: Any = {"stop": stop, "observer": here.observe, "now": now}
    bucket = Bucket(name, None, connections=anyio.Semaphore(64), memory=here.notes, **tools)
    sender = HttpSender(mine.base_url, spec.headers(mine.secrets), Network())
    async with (
        anyio.create_task_group() as group,
        Api(sender, name, read=bucket, write=bucket, **tools) as api,
    ):
        group.start_soon(bucket.run)
        here.provider = spec.build(ProviderContext(api, mine, here.notes, here.observe, now))
        yield here
        group.cancel_scope.cancel()


class Ran:
    """What a run left behind."""

    def __init__(
        self, fatal: list[FatalError], found: list[dict[str, Any]], metrics: Metrics
    ) -> None:
        self.fatal = fatal
        self.results = found
        self.metrics = metrics
        self.by_key = {one["key"]: one for one in found}

    def states(self) -> dict[str, str]:
        """State by key; a failed row's is its error code."""
        return {
            key: one["error"]["code"] if one["error"] else one["state"]
            for key, one in self.by_key.items()
        }


async def run_rows(
    sandbox: Sandbox,
    out: Path,
    rows: Iterable[Row] = (),
    environment: Mapping[str, str] | None = None,
    clock: Callable[[], float] = now,
    *,
    simulated: bool = True,
    observer: Observer | None = None,
    stop: ShutdownToken | None = None,
    on_listening: OnListening | None = None,
    **changes: Any,
) -> Ran:
    """Import rows and work until the end, all in this loop and without threads.

    Where it is not `simulated`, it takes the sandbox for the providers, and reads the
    machine's webhook inbox.
    """
    metrics = Metrics()
    with closing(open_ledger(out, create=True, now=clock)) as ledger:
        ledger.import_rows([("test", list(rows))], skip_invalid=False)
        fatal = await run(
            lifted(out, **changes),
            ledger,
            {**sandbox.environment(), **(environment or {})},
            metrics if observer is None else observers(metrics, observer),
            sandbox=simulated,
            stop=stop,
            now=clock,
            threads=False,
            on_listening=on_listening,
        )
        return Ran(fatal, list(ledger.results()), metrics)


HERE = ListenAddress("127.0.0.1", 0)
"""An endpoint for webhooks on any free port."""


def telling(sandbox: Sandbox) -> OnListening:
    """Lets a sandbox send its webhooks to a run that listens, once it does."""

    async def tell(endpoints: Mapping[str, str]) -> None:
        sandbox.change(**{f"{name}_webhook_url": url for name, url in endpoints.items()})

    return tell


def rows_of(manifest: Path, **options: Any) -> list[Row]:
    """The rows of a manifest that has no problems."""
    found = list(read(str(manifest), ManifestOptions(**options), COLUMNS))
    assert all(isinstance(row, Row) for row in found), found
    return [row for row in found if isinstance(row, Row)]
