"""Whole runs in the test's own loop: engine, sandbox and ledger on one clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from batchcap.app.run import run
from batchcap.app.webhooks import OnListening
from batchcap.cli.log import observers
from batchcap.domain.errors import FatalError
from batchcap.domain.models import Row
from batchcap.domain.protocols import Observer
from batchcap.domain.settings import ListenAddress, Settings
from batchcap.domain.shutdown import ShutdownToken
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates
from batchcap.reports.metrics import Metrics
from batchcap.sandbox import Sandbox
from batchcap.storage.ledger import file, open_ledger
from tests.harness.clock import now

UNLIMITED: dict[str, float | None] = dict.fromkeys(documented_rates(PROVIDERS.values()))
"""No limit on any bucket."""


def unlimited_settings(out: Path, **changes: Any) -> Settings:
    """Return settings without rate limits."""
    return msgspec.structs.replace(Settings(out=out, rates=UNLIMITED), **changes)


def ledger_sql(out: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Execute SQL on an output folder's ledger that no run has open; returns the rows."""
    with closing(sqlite3.connect(file(out), isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


class RunResult:
    """The result of a run: fatal errors, results of the rows, metrics."""

    def __init__(
        self, fatal: list[FatalError], results: list[dict[str, Any]], metrics: Metrics
    ) -> None:
        self.fatal = fatal
        self.results = results
        self.metrics = metrics
        self.by_key = {result["key"]: result for result in results}

    def states(self) -> dict[str, str]:
        """The state of each row by key; for a failed row its error code."""
        return {
            key: result["error"]["code"] if result["error"] else result["state"]
            for key, result in self.by_key.items()
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
) -> RunResult:
    """Import rows and work until the end, all in this loop and without threads.

    If it is not `simulated`, it takes the sandbox for the providers, and reads the
    machine's webhook inbox.
    """
    metrics = Metrics()
    with closing(open_ledger(out, create=True, now=clock)) as ledger:
        ledger.import_rows([("test", list(rows))], skip_invalid=False)
        fatal = await run(
            unlimited_settings(out, **changes),
            ledger,
            {**sandbox.environment(), **(environment or {})},
            metrics if observer is None else observers(metrics, observer),
            sandbox=simulated,
            stop=stop,
            now=clock,
            threads=False,
            on_listening=on_listening,
        )
        return RunResult(fatal, list(ledger.results()), metrics)


ANY_PORT = ListenAddress("127.0.0.1", 0)
"""An endpoint for webhooks on any free port."""


def register_webhooks(sandbox: Sandbox) -> OnListening:
    """Return a callback that makes a sandbox send its webhooks to a run, once the run listens."""

    async def on_listening(endpoints: Mapping[str, str]) -> None:
        sandbox.change(**{f"{name}_webhook_url": url for name, url in endpoints.items()})

    return on_listening
