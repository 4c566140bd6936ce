"""Through how many files a happy Mux row goes, from its start to its outcome.

A profile function sees every call. A row *crosses* a file if a coroutine of that file runs for
it: there the row waits, and a reader has to follow it. A file whose plain functions are called
on the way (a parser, a check, a quota's arithmetic) is only *used*. A call *climbs* if it goes
from a room to a room above it; `tests/test_layers.py` has the order. Observers watch the row
from above and are no part of its path.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

from batchcap.domain.events import Event, RowEnded, RowStarted
from batchcap.sandbox import Sandbox, SandboxOptions
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows
from tests.test_layers import RANK, ROOT, room_of

pytestmark = pytest.mark.anyio

OBSERVERS = {"cli", "reports"}
NO_PART = {"sandbox", "testing"}
"""Rooms that play the provider and the clock."""


class PathRecorder:
    """Records the calls between the events `RowStarted` and `RowEnded`."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self.climbs: set[tuple[str, str]] = set()

    def __call__(self, event: Event) -> None:
        """The run's observer."""
        if isinstance(event, RowStarted):
            sys.setprofile(self._profile)
        elif isinstance(event, RowEnded):
            sys.setprofile(None)

    def crossed(self) -> set[str]:
        """Return the files of which a coroutine ran."""
        waiting = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
        return {_name(code) for code in self.codes if code.co_flags & waiting}

    def used(self) -> set[str]:
        """Return the files of which anything ran."""
        return {_name(code) for code in self.codes}

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or (callee := _room(frame)) is None:
            return
        if callee not in OBSERVERS:
            self.codes.add(frame.f_code)
        caller = next(_callers(frame), callee)
        if RANK[callee] > RANK[caller] and caller not in OBSERVERS:
            self.climbs.add((caller, "observers" if callee in OBSERVERS else callee))


def _callers(frame: FrameType) -> Iterator[str]:
    """Yield the rooms of the calling functions, the nearest one first."""
    while (caller := frame.f_back) is not None:
        if (room := _room(caller)) is not None:
            yield room
        frame = caller


def _room(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    room = room_of(path) if path.is_relative_to(ROOT) else None
    return None if room in NO_PART else room


def _name(code: CodeType) -> str:
    return Path(code.co_filename).relative_to(ROOT).as_posix()


async def happy_path(out: Path, **params: str) -> PathRecorder:
    recorder = PathRecorder()
    async with Sandbox(SandboxOptions()) as sandbox:
        ran = await run_rows(sandbox, out, [mux_row("film", **params)], observer=recorder)
    assert ran.states() == {"mux:film:es": "done"}
    return recorder


@pytest.mark.parametrize(
    ("params", "crossed", "used"),
    [({"track_id": "film-en"}, 18, 36), ({"from_language": "en"}, 20, 40)],
    ids=["names its track", "names its language"],
)
async def test_happy_mux_row_crosses_some_20_files(
    tmp_path: Path, params: dict[str, str], crossed: int, used: int
) -> None:
    recorder = await happy_path(tmp_path, **params)
    assert len(recorder.crossed()) <= crossed, sorted(recorder.crossed())
    assert len(recorder.used()) <= used, sorted(recorder.used())


async def test_happy_mux_row_climbs_to_provider_downloader_and_observers_only(
    tmp_path: Path,
) -> None:
    recorder = await happy_path(tmp_path, from_language="en")
    assert recorder.climbs - {(room, "observers") for room in RANK} == {
        ("engine", "providers"),
        ("engine", "captions"),
    }
