"""Log lines, without signed links."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchcap.cli import log_fields
from batchcap.cli.log import LOG, logged, observers, set_up
from batchcap.domain import events
from batchcap.domain.errors import UsageError
from batchcap.domain.events import (
    Event,
    JobCreated,
    LaneStopped,
    Paused,
    RequestEnded,
    RequestSent,
    RowEnded,
    RowHeldBack,
    RowStarted,
    SourceEnded,
    Throttled,
    Waiting,
    Warned,
)
from batchcap.domain.models import Failure, Job, JobState, Outcome, RowState
from tests.harness.observers import Recorder
from tests.harness.rows import CAPTION, row


@pytest.fixture(autouse=True)
def _reset_log() -> Iterator[None]:
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers.clear()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def logged_fields(tmp_path: Path, event: Event) -> dict[str, Any]:
    """Return the one line that an event makes in the log file, without its time."""
    set_up(False, tmp_path / "log")
    logged(event)
    (line,) = lines(tmp_path / "log")
    fields: dict[str, Any] = json.loads(line)
    assert list(fields)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(fields.pop("timestamp")).utcoffset() == timedelta(0)
    return fields


def ended(state: RowState, failure: Failure | None = None) -> RowEnded:
    return RowEnded(row(), Outcome(state=state, started_at=0, finished_at=1, failure=failure))


CAPTION_ENDED = RowEnded(
    row(),
    Outcome(
        state=RowState.DONE,
        started_at=0,
        finished_at=1.5,
        caption=CAPTION,
        job=Job(id="job-7", state=JobState.COMPLETED),
    ),
)
ROW = {"row": "fake:source1:es", "provider": "fake"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            RowStarted(row()),
            {"level": "debug", "event": "row_started", "source_id": "source1", "language": "es"},
        ),
        (JobCreated(row(), "job-7"), {"level": "info", "event": "job_created", "job_id": "job-7"}),
        (
            CAPTION_ENDED,
            {
                "level": "info",
                "event": "row_ended",
                "state": "done",
                "seconds": 1.5,
                "path": row().path,
                "bytes": CAPTION.bytes,
                "job_id": "job-7",
            },
        ),
        (
            ended(RowState.FAILED, Failure("not_found", "no such video")),
            {
                "level": "warning",
                "event": "row_ended",
                "state": "failed",
                "seconds": 1,
                "code": "not_found",
                "reason": "no such video",
                "retryable": False,
            },
        ),
        (
            RowHeldBack(row(), Failure("units_exhausted", "no units")),
            {
                "level": "info",
                "event": "row_held_back",
                "code": "units_exhausted",
                "reason": "no units",
            },
        ),
        (
            SourceEnded(row(), "404"),
            {"level": "info", "event": "source_ended", "source_id": "source1", "reason": "404"},
        ),
    ],
)
def test_log_of_a_row_is_a_json_line_with_its_key(
    tmp_path: Path, event: Event, expected: dict[str, Any]
) -> None:
    assert logged_fields(tmp_path, event) == {**ROW, **expected}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            RequestEnded("mux.read", "GET", "/jobs/1", 503, 0.25, 1.5, "req-9", 2, "mux"),
            {
                "level": "info",
                "event": "request_ended",
                "provider": "mux",
                "bucket": "mux.read",
                "method": "GET",
                "path": "/jobs/1",
                "status": 503,
                "seconds": 0.25,
                "waited": 1.5,
                "attempt": 2,
                "request_id": "req-9",
            },
        ),
        (
            RequestEnded("downloads", "GET", "cdn/a.vtt", None, 30.0),
            {
                "level": "info",
                "event": "request_ended",
                "bucket": "downloads",
                "method": "GET",
                "path": "cdn/a.vtt",
                "seconds": 30.0,
                "waited": 0.0,
                "attempt": 1,
            },
        ),
        (
            Throttled("heygen", 7.25),
            {"level": "warning", "event": "throttled", "bucket": "heygen", "seconds": 7.25},
        ),
        (
            Waiting("heygen", "the link", 20.0, row()),
            {
                "level": "info",
                "event": "waiting",
                "where": "heygen",
                "seconds": 20.0,
                "reason": "the link",
                "row": "fake:source1:es",
            },
        ),
        (Warned("be careful"), {"level": "warning", "event": "warning", "reason": "be careful"}),
        (
            LaneStopped("mux", "no credit", "top up"),
            {
                "level": "error",
                "event": "provider_stopped",
                "provider": "mux",
                "reason": "no credit",
                "hint": "top up",
            },
        ),
    ],
)
def test_log_of_other_events_is_a_json_line(
    tmp_path: Path, event: Event, expected: dict[str, Any]
) -> None:
    assert logged_fields(tmp_path, event) == expected


def test_log_of_a_pause_has_its_end(tmp_path: Path) -> None:
    fields = logged_fields(tmp_path, Paused("mux.read", 3600.0))
    assert fields["level"] == "warning"
    left = datetime.fromisoformat(fields["until"]) - datetime.now(UTC)
    assert left.total_seconds() == pytest.approx(3600, abs=60)


def test_every_event_but_a_request_that_left_is_logged() -> None:
    """A request is logged once, when it has ended."""
    declared = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }
    assert declared - set(log_fields.ENTRIES) == {RequestSent}


def test_every_event_of_the_log_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "log.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
    source = Path(log_fields.__file__).read_text()
    assert documented == set(re.findall(r'logging\.[A-Z]+(?: if .*)?, "([a-z_]+)"', source)) | set(
        re.findall(r'return level, "([a-z_]+)"', source)
    )


def test_log_line_on_stderr_begins_with_time_level_and_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up(True, None)
    logged(JobCreated(row(), "job-7"))
    output = capsys.readouterr()
    assert output.out == ""
    match = re.fullmatch(
        r"(\S+Z) info job_created row='fake:source1:es' provider='fake' job_id='job-7'\n",
        output.err,
    )
    assert match is not None, output.err
    assert datetime.fromisoformat(match[1]).utcoffset() == timedelta(0)


def test_log_on_stderr_goes_where_stderr_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The display puts a stream of its own there, which prints above the table."""
    set_up(True, None)
    replaced = io.StringIO()
    monkeypatch.setattr("sys.stderr", replaced)
    logged(Warned("careful"))
    assert "reason='careful'" in replaced.getvalue()


def test_log_of_hostile_text_is_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(True, tmp_path / "log")
    logged(Warned("a\nb\x1b[2J\u2028c"))
    assert len(lines(tmp_path / "log")) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert json.loads(lines(tmp_path / "log")[0])["reason"] == "a\nb\x1b[2J\u2028c"


@pytest.mark.parametrize(
    "link",
    [
        "https://cdn.example/a.vtt?Signature=hunter2&Key-Pair-Id=x",
        "http://127.0.0.1:8000/f?sig=hunter2",
        "HTTPS://cdn.example/a?sig=hunter2",
        "https://cdn.example?sig=hunter2",
    ],
)
def test_log_signed_link_is_redacted_anywhere(tmp_path: Path, link: str) -> None:
    set_up(False, tmp_path / "log")
    logged(Warned(f"got '{link}' and ({link}) and {link}"))
    LOG.warning("as an argument: %s", link)
    LOG.warning("in an object: %s", {"link": link})
    text = (tmp_path / "log").read_text()
    assert "hunter2" not in text
    assert "cdn.example" in text or "127.0.0.1" in text


def test_log_link_in_traceback_is_redacted(tmp_path: Path) -> None:
    set_up(False, tmp_path / "log")
    try:
        raise ValueError("https://cdn.example/a?sig=hunter2")
    except ValueError:
        LOG.exception("unexpected")
    assert "hunter2" not in (tmp_path / "log").read_text()


def test_log_text_without_signed_link_is_unchanged(tmp_path: Path) -> None:
    set_up(False, tmp_path / "log")
    logged(Warned("see https://docs.example/page, is it 100%? yes?no"))
    (line,) = lines(tmp_path / "log")
    assert json.loads(line)["reason"] == "see https://docs.example/page, is it 100%? yes?no"


def test_log_without_handler_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(False, None)
    logged(Warned("careful"))
    assert capsys.readouterr() == ("", "")


def test_set_up_twice_writes_each_line_once(tmp_path: Path) -> None:
    set_up(False, tmp_path / "first")
    first = LOG.handlers[0]
    set_up(False, tmp_path / "log")
    logged(Warned("once"))
    first.close()
    assert len(lines(tmp_path / "log")) == 1
    assert len(LOG.handlers) == 1


def test_log_file_existing_is_appended_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    set_up(False, tmp_path / "log")
    logged(Warned("after ü"))
    assert lines(tmp_path / "log")[0] == "before"


def test_set_up_unwritable_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--log-file"):
        set_up(False, tmp_path / "nowhere" / "log")
    with pytest.raises(UsageError, match="--log-file"):
        set_up(False, tmp_path)


def test_observers_are_called_in_order() -> None:
    first, second = Recorder(), Recorder()
    both = observers(first, second)
    both(Warned("x"))
    assert first.events == second.events == [Warned("x")]


def test_log_does_not_reach_the_root_logger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(False, tmp_path / "log")
    with caplog.at_level(logging.DEBUG):
        logged(Warned("x"))
    assert not caplog.records


@pytest.mark.parametrize(
    "text", ["\x7f", "\x9b2J", "\u202e", "\u2028", "\udcff", "\U000e0001", "a\nb"]
)
def test_log_file_escapes_what_no_terminal_should_see(tmp_path: Path, text: str) -> None:
    set_up(True, tmp_path / "log")
    logged(Warned(text))
    (line,) = (tmp_path / "log").read_text("utf-8").split("\n")[:-1]
    assert line.isprintable()
    assert json.loads(line)["reason"] == text
