"""Webhooks beside polling, on virtual time: requests a caption, and how late a caption is.

The real engine, receiver and sandbox talk over loopback in one loop whose clock jumps.
Late is the time from "completed at the provider" to "file on disk, and the ledger knows".
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from batchcap import assembly
from batchcap.events import Event, RowEnded
from batchcap.ledger import connect, take_in
from batchcap.model import Row
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.settings import DEFAULT_RATES, Listening, Settings
from batchcap.tally import Tally
from batchcap.virtual import VirtualLoop

_EPOCH = 1_790_000_000.0


class Outcome:
    """One run: API requests, events, and how late each caption was, in seconds and sorted."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.finished: dict[str, float] = {}
        self.late: list[float] = []

    def __call__(self, event: Event) -> None:
        """Count one event. An `Observer`."""
        self.tally(event)
        if isinstance(event, RowEnded) and event.outcome.job is not None:
            self.finished[event.outcome.job.id or ""] = event.outcome.finished_at

    def requests(self) -> int:
        """Requests of the API; files are not counted."""
        return sum(n for bucket, n in self.tally.requests.items() if bucket != "downloads")


async def run(rows: int, lost: float | None, given: argparse.Namespace) -> Outcome:
    """Rows of Mux at documented limits; `lost` None polls, else is the share of lost events."""
    options = SandboxOptions.documented(
        epoch=_EPOCH + _clock(),
        job_seconds=given.median,
        job_sigma=given.sigma,
        job_seconds_max=given.longest,
        caption_bytes=2000,
        faults={"webhook_lost": lost} if lost else {},
    )
    outcome = Outcome()
    async with Sandbox(options) as sandbox:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(connect(Path(folder), create=True)) as ledger,
        ):
            wanted = [_row(number) for number in range(rows)]
            take_in(ledger, [("rows", wanted)], skip_invalid=False)

            async def announce(endpoints: Mapping[str, str]) -> None:
                sandbox.change(mux_webhook_url=endpoints["mux"])

            settings = Settings(
                out=Path(folder),
                rates=DEFAULT_RATES,
                listening=None if lost is None else Listening("127.0.0.1", 0),
            )
            await assembly.work(
                settings,
                ledger,
                sandbox.environment(),
                outcome,
                sandbox=True,
                now=_now,
                threads=False,
                announce=announce,
            )
        made = sandbox.request_log.document(_now())["creates"]
        ended = {job["job_id"]: job["ended"] for job in made}
    outcome.late = sorted(at - ended[job_id] for job_id, at in outcome.finished.items())
    return outcome


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks webhooks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--median", type=float, default=180.0, help="seconds that a job takes")
    parser.add_argument("--sigma", type=float, default=0.75)
    parser.add_argument("--longest", type=float, default=1800.0)
    given = parser.parse_args(argv)
    print("| | requests a caption | p50 s | p99 s | events |\n| --- | --: | --: | --: | --: |")
    for lost in (None, 0.0, 0.1, 1.0):
        name = "polling" if lost is None else f"webhooks, {lost:.0%} lost"
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            one = runner.run(run(given.rows, lost, given))
        if len(one.late) != given.rows:
            raise SystemExit(f"{name}: {len(one.late)} of {given.rows} captions")
        p50, p99 = (one.late[int(share * (len(one.late) - 1))] for share in (0.5, 0.99))
        cells = f"{one.requests() / given.rows:.3f} | {p50:.1f} | {p99:.1f}"
        print(f"| {name} | {cells} | {one.tally.webhooks['mux']:,} |", flush=True)
    return 0


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
