"""The progress display: a line, and a table of a few rows."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.console import Console

from batchcap.cli.progress import Progress
from batchcap.domain.events import RowEnded, RowStarted, Throttled, Warned
from batchcap.domain.models import Failure, Outcome, RowState, Totals
from batchcap.reports.metrics import Metrics
from tests.harness.rows import CAPTION, row

pytestmark = pytest.mark.anyio

BEFORE = Totals(
    total=3000,
    done=400,
    failed=100,
    pending=2500,
    by_provider={
        "mux": {"done": 400, "failed": 100, "pending": 1500},
        "heygen": {"pending": 1000},
    },
)


@asynccontextmanager
async def shown(
    before: Totals = BEFORE, *, terminal: bool = False
) -> AsyncIterator[tuple[Progress, Metrics, io.StringIO]]:
    screen, metrics = io.StringIO(), Metrics()
    console = Console(file=screen, force_terminal=terminal, width=120)
    progress = Progress(metrics, before, console)
    async with progress.shown():
        yield progress, metrics, screen


def drawn(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(progress.table())
    return console.export_text()


def end(metrics: Metrics, count: int, provider: str, code: str = "") -> None:
    for number in range(count):
        ended_row = row(number + 1, provider=provider)
        state = RowState.FAILED if code else RowState.DONE
        metrics(RowStarted(ended_row))
        metrics(
            RowEnded(
                ended_row,
                Outcome(
                    state=state,
                    started_at=0,
                    finished_at=1,
                    caption=None if code else CAPTION,
                    failure=Failure(code, "why") if code else None,
                ),
            )
        )


async def test_line_shows_counts_speed_and_time_left() -> None:
    async with shown() as (progress, metrics, _):
        end(metrics, 500, "mux")
        await asyncio.sleep(100)
        line = progress.line()
    assert line == "1m 40s: 1,000/2,000 mux, 0/1,000 heygen; 5.0/s, 20.0 kB, 6m 40s left"


async def test_line_shows_failures_and_pauses() -> None:
    async with shown() as (progress, metrics, _):
        end(metrics, 3, "heygen", "not_found")
        metrics(Throttled("heygen", 90.0))
        await asyncio.sleep(45)
        assert ", 3 failed; " in progress.line()
        assert progress.line().endswith("; heygen paused for 45.0s")
        await asyncio.sleep(46)
        assert "paused" not in progress.line()


async def test_line_without_rows_shows_the_time() -> None:
    async with shown(Totals(errors={}, by_provider={})) as (progress, _, _screen):
        assert progress.line().startswith("0.0s: ")


async def test_table_shows_each_provider_and_its_active_rows() -> None:
    async with shown() as (progress, metrics, _):
        end(metrics, 100, "mux")
        metrics(RowStarted(row(9, provider="heygen")))
        text = drawn(progress)
    mux = next(line for line in text.splitlines() if line.startswith("mux"))
    heygen = next(line for line in text.splitlines() if line.startswith("heygen"))
    assert "600/2,000" in mux
    assert "0 active" in mux
    assert "1 active" in heygen


async def test_table_shows_failures_warnings_and_pauses() -> None:
    async with shown() as (progress, metrics, _):
        end(metrics, 2, "mux", "not_found")
        end(metrics, 1, "mux", "job_failed")
        metrics(Throttled("mux.read", 60.0))
        metrics(Warned("something [/odd] [bold]in brackets"))
        text = drawn(progress)
    assert "3 failed" in text
    assert "not_found 2, job_failed 1" in text
    assert "mux.read paused for" in text
    assert "[/odd] [bold]in" in text.replace("\n", " ")


async def test_table_with_many_providers_has_at_most_eight_rows() -> None:
    many = {f"provider{number}": {"invalid": 1} for number in range(50)}
    async with shown(Totals(total=50, by_provider=many)) as (progress, metrics, _):
        for code in range(20):
            end(metrics, 1, "mux", f"code{code}")
        for name in range(20):
            metrics(Throttled(f"bucket{name}", 60.0))
        metrics(Warned("w" * 1000))
        assert progress.table().row_count <= 8


async def test_progress_without_terminal_prints_a_line_every_five_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with shown() as (_progress, _metrics, _):
        await asyncio.sleep(26)
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 5


async def test_progress_on_terminal_shows_the_table_and_removes_it() -> None:
    async with shown(terminal=True) as (_progress, metrics, screen):
        end(metrics, 100, "mux")
        await asyncio.sleep(1)
        assert "600/2,000" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K") or "\x1b[?25h" in screen.getvalue()
