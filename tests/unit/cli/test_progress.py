"""The progress display: a table at three widths, and lines without a terminal."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from rich.console import Console

from batchcap.cli.progress import Progress, line, table
from batchcap.cli.progress_text import compact, rough
from batchcap.reports.snapshot import BucketState, ProviderState, Snapshot, SourcesState
from tests.harness.clock import EPOCH

pytestmark = pytest.mark.anyio


def provider(name: str = "mux", **counts: Any) -> ProviderState:
    values = dict.fromkeys(("waiting", "at_provider", "downloading", "done", "failed"), 0)
    values |= {"skipped": 0, "invalid": 0, **counts}
    total = sum(values.values())
    return ProviderState(name=name, total=total, is_stopped=False, ends_at=None, **values)


SNAPSHOT = Snapshot(
    at=EPOCH + 725,
    began=EPOCH,
    providers=[
        provider(waiting=5420, at_provider=310, downloading=2, done=4212, failed=56),
        provider("heygen", done=12345),
    ],
    buckets=[
        BucketState("mux.write", 1.0, 0.98, None),
        BucketState("mux.read", 5.0, 2.1, EPOCH + 785),
        BucketState("downloads", None, 240.0, None),
    ],
    bytes=2_300_000,
    units=812,
    errors={"job_failed": 50, "not_found": 6},
    ends_at=EPOCH + 725 + 5730,
    problem="mux: polling failed: 503",
    problem_at=EPOCH + 713,
)


def drawn(snapshot: Snapshot, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True, color_system=None)
    console.print(table(snapshot, width))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [120, 80, 40])
def test_table_has_one_row_a_provider_and_fits(width: int) -> None:
    lines = drawn(SNAPSHOT, width)
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines if line.startswith(("mux ", "heygen "))]
    assert len(rows) == 2
    shown = [cell for cell in rows[0] if not set(cell) <= {"━", "╸", "╺"}]
    assert shown == ["mux", "5,420", "310", "2", "4,212", "56"]
    assert ("━" in "".join(lines)) is (width == 120)


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (120, ["waiting", "at", "provider", "downloading", "done", "failed"]),
        (80, ["waiting", "at", "provider", "downloading", "done", "failed"]),
        (40, ["wait", "open", "load", "done", "fail"]),
    ],
)
def test_table_names_the_phases(width: int, header: list[str]) -> None:
    assert drawn(SNAPSHOT, width)[0].split() == header


def test_table_shows_rates_time_left_pauses_failures_and_the_last_problem() -> None:
    text = "\n".join(drawn(SNAPSHOT, 120))
    assert "about 1h 35m left, until " in text
    assert ", 2.3 MB, 812 units" in text
    assert "requests/s: mux.write 0.98 of 1, mux.read 2.1 of 5, downloads 240" in text
    assert re.search(r"mux.read pauses for 1m 00s, until \d\d:\d\d:\d\d, as the provider", text)
    assert "failed: job_failed 50, not_found 6" in text
    assert "12.0s ago: mux: polling failed: 503" in text


def test_table_shows_text_from_outside_as_text() -> None:
    text = "\n".join(drawn(replace(SNAPSHOT, problem="[/odd] [bold]x\x1b[2J\ny"), 120))
    assert "[/odd] [bold]x\\x1b[2J\\ny" in text


def test_table_with_many_providers_and_codes_stays_small() -> None:
    many = replace(
        SNAPSHOT,
        providers=[provider(f"provider{number}", waiting=1) for number in range(50)],
        errors={f"code{number}": 1 for number in range(50)},
        buckets=[BucketState(f"bucket{number}", 1.0, 1.0, EPOCH + 900) for number in range(50)],
        problem="w" * 1000,
    )
    assert len(drawn(many, 80)) <= 12


def test_line_shows_the_same_without_a_table() -> None:
    assert line(SNAPSHOT).startswith(
        "12m 05s: 4,268/10,000 mux (5,420 waiting, 310 at the provider), "
        "12,345/12,345 heygen; about 1h 35m left, until "
    )
    assert re.search(
        "; failed: job_failed 50, not_found 6; mux.read pauses for 1m 00s, until [0-9:]{8}, "
        "as the provider asked; 12.0s ago: mux: polling failed: 503$",
        line(SNAPSHOT),
    )


def test_table_and_line_show_source_captions_if_any_are_to_be_fetched() -> None:
    snapshot = replace(SNAPSHOT, sources=SourcesState(1200, fetched=310, failed=4))
    text = "source captions: 310 of 1,200, 4 could not be had"
    assert text in drawn(snapshot, 80)
    assert text in line(snapshot)
    assert "source captions" not in line(SNAPSHOT)


def test_line_without_an_estimate_says_so() -> None:
    assert "; the time left is not known yet" in line(replace(SNAPSHOT, ends_at=None))
    finished = replace(SNAPSHOT, providers=[provider(done=1)], ends_at=None)
    assert "left" not in line(finished)


@asynccontextmanager
async def shown(progress: Progress) -> AsyncIterator[None]:
    """Show the progress until the block ends."""
    async with anyio.create_task_group() as group:
        group.start_soon(progress.show)
        yield
        group.cancel_scope.cancel()


def moving() -> Iterator[Snapshot]:
    """A run in which something moves every second."""
    for seconds in itertools.count():
        row = provider(waiting=10_000 - seconds, done=seconds)
        yield replace(SNAPSHOT, at=EPOCH + seconds, providers=[row])


async def printed(seconds: float, snapshots: Iterator[Snapshot]) -> None:
    began = asyncio.get_running_loop().time()

    def snapshot() -> Snapshot:
        elapsed = asyncio.get_running_loop().time() - began
        return next(now for now in snapshots if now.at - EPOCH > elapsed - 0.5)

    async with shown(Progress(snapshot, Console(file=io.StringIO()))):
        await asyncio.sleep(seconds)


async def test_progress_without_terminal_prints_ever_fewer_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await printed(3601, moving())
    output = capsys.readouterr()
    assert output.out == ""
    times = [text.partition(":")[0] for text in output.err.splitlines()]
    assert times[:7] == ["10.0s", "20.0s", "30.0s", "40.0s", "50.0s", "1m 00s", "2m 00s"]
    assert times[14:17] == ["10m 00s", "15m 00s", "20m 00s"]
    assert len(times) == 6 + 9 + 10


async def test_progress_without_terminal_prints_nothing_when_nothing_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await printed(3601, itertools.repeat(replace(SNAPSHOT, at=EPOCH + 10_000)))
    assert len(capsys.readouterr().err.splitlines()) == 1


async def test_progress_on_a_dumb_terminal_prints_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, _environ={"TERM": "dumb"})
    async with shown(Progress(lambda: SNAPSHOT, console)):
        await asyncio.sleep(11)
    assert screen.getvalue() == ""
    assert "\x1b" not in (text := capsys.readouterr().err)
    assert text.startswith("12m 05s: ")


async def test_progress_on_terminal_shows_the_table_and_removes_it() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    async with shown(Progress(lambda: SNAPSHOT, console)):
        await anyio.sleep(1)
        assert "4,212" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0"), (9999, "9,999"), (12_340, "12.3k"), (123_400, "123k"), (999_949, "1000k")),
        *((999_950, "1.0M"), (12_345_678, "12.3M")),
    ],
)
def test_compact_numbers_have_five_characters_at_most(count: int, text: str) -> None:
    assert compact(count) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "5 s"), (12, "10 s"), (88, "90 s"), (95, "2 min"), (3500, "58 min")),
        *((3590, "1h 00m"), (5730, "1h 35m"), (86_400, "24h 00m")),
    ],
)
def test_rough_duration_is_as_exact_as_an_estimate(seconds: float, text: str) -> None:
    assert rough(seconds) == text
