"""The checks of `batchcap doctor` that look at this machine, each alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from batchcap.app.checks import output_folder
from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.app.checks.file_limit import check_file_limit
from batchcap.app.checks.inbox import check_inbox
from batchcap.app.checks.installation import check_installation, packages_by_extra
from batchcap.app.checks.ledger import check_ledger
from batchcap.app.checks.output_folder import check_output_folder
from batchcap.app.doctor import blocking, run_checks
from batchcap.domain.models import Job, JobState
from batchcap.domain.settings import Settings
from batchcap.domain.version import __version__
from batchcap.storage.ledger import file, open_ledger
from batchcap.storage.ledger.schema import VERSION
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.inbox import Inbox, inbox_path
from tests.harness.rows import heygen_row
from tests.harness.runs import ledger_sql


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_installation_names_versions_and_extras() -> None:
    batchcap, extras = check_installation()
    assert batchcap.message.startswith(f"{__version__}, aiohttp 3.")
    for extra in ("fast", "signed", "excel", "xlsx", "metrics"):
        assert extra in extras.message
    assert "bench" not in extras.message


def test_packages_by_extra_reads_what_a_wheel_requires() -> None:
    wheel = [
        "anyio<5,>=4.6",
        "uvloop>=0.21; (sys_platform != 'win32') and extra == 'fast'",
        'pyjwt[crypto]>=2.9; extra == "signed"',
        "mypy>=1.14; extra == 'dev'",
    ]
    assert packages_by_extra(wheel) == {"fast": "uvloop", "signed": "pyjwt"}


@pytest.mark.parametrize("exists", [True, False])
def test_output_folder_that_can_be_written_is_ok_and_stays_as_it_was(
    tmp_path: Path, exists: bool
) -> None:
    out = tmp_path / "a" / "b"
    if exists:
        (out / ".batchcap").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    (found,) = check_output_folder(out)
    assert found.level == "ok"
    assert "GB free" in found.message
    assert sorted(tmp_path.rglob("*")) == before


def test_output_folder_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "captions").write_text("a file")
    (found,) = check_output_folder(tmp_path / "captions")
    assert found.level == "problem"
    assert found.message.endswith("it is not a folder")
    assert "-o DIR" in found.hint


def test_output_folder_on_a_network_disk_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/media {tmp_path.resolve()} nfs4 rw 0 0\n")
    monkeypatch.setattr("batchcap.storage.ledger.filesystem._MOUNTS", mounts)
    (found,) = check_output_folder(tmp_path / "captions")
    assert found.level == "problem"
    assert "network disk (nfs4)" in found.message


def test_output_folder_whose_ledger_is_a_link_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".batchcap").symlink_to(tmp_path.parent)
    (found,) = check_output_folder(tmp_path)
    assert found.level == "problem"
    assert "symbolic link" in found.message


def test_output_folder_with_little_space_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_folder, "MIN_FREE", 10**18)
    (found,) = check_output_folder(tmp_path)
    assert (found.level, found.hint[:15]) == ("warning", "Free disk space")


def test_ledger_is_read_with_its_version(tmp_path: Path) -> None:
    (none,) = check_ledger(tmp_path)
    assert (none.level, list(tmp_path.iterdir())) == ("skipped", [])
    with closing(open_ledger(tmp_path, create=True, now=time.time)) as ledger:
        ledger.import_rows([("test", [heygen_row("tr")])], skip_invalid=False)
    (found,) = check_ledger(tmp_path)
    assert found == Diagnosis("ledger", "ok", f"version {VERSION}, 1 row")
    ledger_sql(tmp_path, f"PRAGMA user_version = {VERSION - 1}")
    (older,) = check_ledger(tmp_path)
    assert older.level == "ok"
    assert older.message.endswith(f"the next run brings it to version {VERSION}")


@pytest.mark.parametrize("version", [99, None], ids=["newer", "damaged"])
def test_ledger_that_cannot_be_used_is_a_problem(tmp_path: Path, version: int | None) -> None:
    open_ledger(tmp_path, create=True, now=time.time).close()
    if version:
        ledger_sql(tmp_path, f"PRAGMA user_version = {version}")
    else:
        file(tmp_path).write_bytes(b"no database" * 1000)
    (found,) = check_ledger(tmp_path)
    assert found.level == "problem"
    assert found.hint


@pytest.mark.parametrize(("more", "level"), [(0, "ok"), (10**9, "warning")])
def test_file_limit_is_compared_with_what_a_run_needs(
    tmp_path: Path, more: int, level: str
) -> None:
    (found,) = check_file_limit(Settings(out=tmp_path, connections=4 + more, downloads=4))
    assert found.level == level
    assert ("ulimit -n" in found.hint) == bool(more)


@pytest.mark.anyio
async def test_inbox_is_read_with_its_events(tmp_path: Path) -> None:
    (none,) = check_inbox(tmp_path, 0.0)
    assert none.level == "skipped"
    event = WebhookEvent("mux", "event-1", Job(id="job-1", state=JobState.COMPLETED))
    with (
        ThreadPoolExecutor(1) as writer,
        Inbox(tmp_path, executor=writer, now=lambda: 1000.0) as inbox,
    ):
        await inbox.store(event)
    (found,) = check_inbox(tmp_path, 1600.0)
    assert found == Diagnosis("webhook inbox", "ok", "1 event, the last 10 minutes ago")


def test_inbox_that_is_damaged_is_a_warning_because_runs_poll(tmp_path: Path) -> None:
    inbox_path(tmp_path).write_bytes(b"no database" * 1000)
    (found,) = check_inbox(tmp_path, 0.0)
    assert found.level == "warning"
    assert "delete it" in found.hint


@pytest.mark.anyio
async def test_checks_that_hang_are_problems_and_hold_up_no_other() -> None:
    hanging = threading.Event()
    fine = Diagnosis("fine", "ok", "here")

    def hang() -> list[Diagnosis]:
        hanging.wait(60.0)
        return [fine]

    found = await run_checks([blocking("disk", hang), blocking("fine", lambda: [fine])], 0.2)
    hanging.set()
    assert [(each.subject, each.level) for each in found] == [("disk", "problem"), ("fine", "ok")]
    assert found[0].message == "no result within 0.2 s"


@pytest.mark.anyio
async def test_checks_raise_what_they_do_not_expect() -> None:
    def fail() -> list[Diagnosis]:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await run_checks([blocking("broken", fail)])
    assert caught.group_contains(ZeroDivisionError)
