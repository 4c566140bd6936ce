"""Log lines, without signed links."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchcap.cli.log import LOG, logged, observers, set_up
from batchcap.domain.errors import UsageError
from batchcap.domain.events import (
    Event,
    JobCreated,
    LaneStopped,
    RequestSent,
    RowEnded,
    RowHeldBack,
    RowStarted,
    SourceEnded,
    Throttled,
    Warned,
)
from batchcap.domain.models import Failure, Outcome, RowState
from tests.harness.observers import Recorder
from tests.harness.rows import row


@pytest.fixture(autouse=True)
def _reset_log() -> Iterator[None]:
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers.clear()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def ended(state: RowState, failure: Failure | None = None) -> RowEnded:
    return RowEnded(row(), Outcome(state=state, started_at=0, finished_at=1, failure=failure))


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RequestSent("mux.read"), "DEBUG request: mux.read"),
        (RowStarted(row()), "DEBUG row fake:source1:es: started"),
        (JobCreated(row(), "job-7"), "INFO row fake:source1:es: job job-7 created"),
        (ended(RowState.DONE), "INFO row fake:source1:es: done"),
        (
            ended(RowState.FAILED, Failure("not_found", "no such video")),
            "WARNING row fake:source1:es: failed, not_found: no such video",
        ),
        (
            RowHeldBack(row(), Failure("units_exhausted", "no units")),
            "INFO row fake:source1:es: stays pending, units_exhausted",
        ),
        (Throttled("heygen", 7.25), "WARNING heygen: throttled (429), paused for 7.2 s"),
        (SourceEnded(row()), "INFO source source1: captions downloaded"),
        (SourceEnded(row(), "404"), "INFO source source1: no captions, 404"),
        (Warned("be careful"), "WARNING be careful"),
        (LaneStopped("mux", "no credit", "top up"), "ERROR mux stopped: no credit"),
    ],
)
def test_logged_event_is_one_line(tmp_path: Path, event: Event, text: str) -> None:
    set_up(False, tmp_path / "log")
    logged(event)
    (line,) = lines(tmp_path / "log")
    assert line.endswith(text)


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
    assert line.endswith("see https://docs.example/page, is it 100%? yes?no")


def test_log_verbose_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(True, None)
    logged(Warned("careful"))
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.endswith("WARNING careful\n")


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
