"""Webhooks beside polling, on virtual time: requests a caption, and how late a caption is.

Engine, receiver and sandbox are the real ones, over loopback, in one loop whose clock
jumps. A caption is late by the time from "completed at the provider" to "file on disk,
and the ledger knows".
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from batchcap.app.run import run as run_rows
from batchcap.domain.events import Event, RowEnded
from batchcap.domain.models import Row
from batchcap.domain.settings import ListenAddress, Settings
from batchcap.reports.metrics import Metrics
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger
from batchcap.testing import VirtualLoop
from benchmarks import bars, machine, table
from benchmarks.bars import Bar
from benchmarks.reporting import Report
from benchmarks.workload import NotDoneError

_EPOCH = 1_790_000_000.0
_RUNS = {
    "polling": None,
    "webhooks, none lost": 0.0,
    "webhooks, 10 % lost": 0.1,
    "webhooks, all lost": 1.0,
}
"""The share of events that are lost; None is without webhooks."""


@dataclass(frozen=True)
class Outcome:
    """One run: API requests a caption, events received, and sorted delays in seconds."""

    requests: float
    events: int
    late: Sequence[float]

    def late_at(self, share: float) -> float:
        """The delay that this share of the captions did not exceed."""
        return self.late[int(share * (len(self.late) - 1))]


class _Recorder:
    """An observer that counts, and notes when each job's caption was saved."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.finished_at: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        self.metrics(event)
        if isinstance(event, RowEnded) and event.outcome.job is not None:
            self.finished_at[event.outcome.job.id or ""] = event.outcome.finished_at

    def api_requests(self) -> int:
        return sum(n for bucket, n in self.metrics.requests.items() if bucket != "downloads")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `webhooks`."""
    parser.add_argument("--rows", type=int, default=1000, help="the bars are those of %(default)s")


def measure(options: argparse.Namespace) -> Report:
    """Run with and without webhooks.

    Raises:
        NotDoneError: A run did not save all captions.
    """
    about = machine.describe()
    outcomes: dict[str, Outcome] = {}
    for name, lost in _RUNS.items():
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            outcomes[name] = runner.run(run(options.rows, lost))
        print(f"{name}: done", file=sys.stderr)
        if len(outcomes[name].late) != options.rows:
            raise NotDoneError(f"{name}: {len(outcomes[name].late)} of {options.rows} captions")
    held = judge(outcomes)
    title = f"**{options.rows:,} Mux captions at the documented limits, on virtual time**"
    text = "\n\n".join([about, title, as_table(outcomes), bars.markdown(held)])
    record = {
        name: [outcome.requests, outcome.events, outcome.late] for name, outcome in outcomes.items()
    }
    return Report("webhooks", text, record, any(bar.missed for bar in held))


def judge(outcomes: Mapping[str, Outcome]) -> list[Bar]:
    """Hold batchcap to what webhooks have to save."""
    none_lost, some_lost = outcomes["webhooks, none lost"], outcomes["webhooks, 10 % lost"]
    return [
        Bar("none lost: requests a caption", none_lost.requests, 1.15),
        Bar("10 % lost: late, p99", some_lost.late_at(0.99), 60.0, unit=" s"),
    ]


def as_table(outcomes: Mapping[str, Outcome]) -> str:
    """A row for each run."""
    rows = [
        [
            name,
            f"{outcome.requests:.3f}",
            f"{outcome.late_at(0.5):.1f}",
            f"{outcome.late_at(0.99):.1f}",
            f"{outcome.events:,}",
        ]
        for name, outcome in outcomes.items()
    ]
    return table.markdown(["", "requests a caption", "late p50 s", "p99 s", "events"], rows)


async def run(rows: int, lost: float | None) -> Outcome:
    """Run Mux rows in the sandbox at documented limits."""
    options = SandboxOptions.documented(
        epoch=_EPOCH + _clock(),
        job_seconds=180.0,
        job_sigma=0.75,
        job_seconds_max=1800.0,
        caption_bytes=2000,
        faults={"webhook_lost": lost} if lost else {},
    )
    recorder = _Recorder()
    async with Sandbox(options) as sandbox:
        with tempfile.TemporaryDirectory() as folder:
            await _run_batchcap(sandbox, Path(folder), rows, recorder, listen=lost is not None)
        jobs = sandbox.request_log.document(_now())["creates"]
    ended_at = {job["job_id"]: job["ended"] for job in jobs}
    late = sorted(at - ended_at[job_id] for job_id, at in recorder.finished_at.items())
    return Outcome(recorder.api_requests() / rows, recorder.metrics.webhooks["mux"], late)


async def _run_batchcap(
    sandbox: Sandbox, folder: Path, rows: int, recorder: _Recorder, *, listen: bool
) -> None:
    async def register(endpoints: Mapping[str, str]) -> None:
        sandbox.change(mux_webhook_url=endpoints["mux"])

    settings = Settings(
        out=folder,
        listening=ListenAddress("127.0.0.1", 0) if listen else None,
    )
    with closing(open_ledger(folder, create=True, now=_now)) as ledger:
        ledger.import_rows([("rows", [_row(number) for number in range(rows)])], skip_invalid=False)
        await run_rows(
            settings,
            ledger,
            sandbox.environment(),
            recorder,
            sandbox=True,
            now=_now,
            threads=False,
            on_listening=register,
        )


def _row(number: int) -> Row:
    source_id = f"asset-{number:06}"
    return Row(
        key=source_id,
        provider="mux",
        source_id=source_id,
        language="es",
        target="es",
        path=f"{source_id}.es.vtt",
        params={"track_id": f"{source_id}-en"},
    )


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _now() -> float:
    return _EPOCH + _clock()
