"""The progress line of `batchcap manifest`."""

from __future__ import annotations

import io

import pytest

from batchcap.app.account_manifest import Walk
from batchcap.cli import status_line
from batchcap.cli.account_progress import AccountProgress
from batchcap.domain.events import Warned
from batchcap.providers import PROVIDERS

WALK = Walk(
    cursor="x",
    listed=1200,
    rows=1100,
    captions=2150,
    left_out={"captions that exist": 50, "captions that the ledger has": 0},
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _at_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_line, "LINE_INTERVAL", 0.0)
    monkeypatch.setattr(status_line, "REFRESH_INTERVAL", 0.0)


def test_progress_without_terminal_prints_one_line_at_a_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = AccountProgress(PROVIDERS["mux"], quiet=False)
    progress.on_page(WALK)
    progress.on_event(Warned("mux is not responding"))
    progress.finished(WALK, "v.csv")
    assert capsys.readouterr().err.splitlines() == [
        "1,200 assets listed, 1,100 rows with 2,150 captions so far",
        "warning: mux is not responding",
        "1,200 assets listed, 1,100 rows with 2,150 captions in v.csv",
        "left out: 50 captions that exist",
    ]


def test_progress_on_terminal_is_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = AccountProgress(PROVIDERS["heygen"], quiet=False)
    progress.on_page(WALK)
    progress.on_page(WALK)
    progress.finished(WALK, "v.csv")
    line = "\r\x1b[K1,200 translations listed, 1,100 rows so far"
    assert terminal.getvalue().startswith(f"{line}{line}\n1,200 translations listed, 1,100 rows in")


def test_progress_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = AccountProgress(PROVIDERS["mux"], quiet=True)
    progress.on_page(WALK)
    progress.on_restart("400")
    progress.finished(WALK, "v.csv")
    assert capsys.readouterr().err == ""
