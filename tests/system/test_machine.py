"""Runs on a machine with a full disk, few file descriptors or odd files."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from batchcap.storage.ledger import Lock
from tests.system.conftest import UNLIMITED, Shell


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_run_full_disk_stops_and_resumes_with_space(
    shell: Shell, sandbox: Mapping[str, str], small_disk: Path
) -> None:
    rows = "".join(f"video-{n}\n" for n in range(400))
    name = shell.manifest("video_translate_id\n" + rows)
    out = str(small_disk / "captions")
    full = shell.run("run", name, "-o", out, "--no-progress", *UNLIMITED)
    assert full.returncode == 3, full.stderr
    assert "Traceback" not in full.stderr
    assert "Free disk space" in full.stderr
    for path in small_disk.rglob("*.vtt"):
        assert path.read_bytes().startswith(b"WEBVTT")
    assert not list(small_disk.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    again = shell.run("resume", "-o", out, "--no-progress", *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert len(list(small_disk.rglob("*.vtt"))) == 400


def test_run_low_fd_limit_uses_fewer_connections_and_warns(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    rows = "".join(f"video-{n}\n" for n in range(300))
    name = shell.manifest("video_translate_id\n" + rows)
    process = shell.run(
        "run",
        name,
        "--no-progress",
        *UNLIMITED,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90)),
    )
    assert process.returncode == 0, process.stderr
    assert "only 90 files may be open" in process.stderr
    assert {result["state"] for result in shell.results()} == {"done"}


def test_resume_damaged_ledger_is_refused_with_a_hint(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    ledger = shell.folder / "captions/.batchcap/ledger.sqlite"
    ledger.write_bytes(b"this is not a database" * 100)
    for suffix in ("-wal", "-shm"):
        ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
    result = shell.run("resume", "--sandbox")
    assert result.returncode == 3
    assert "cannot be used" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_run_sandbox_start_failure_is_reported(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    (shell.folder / "captions/.batchcap/sandbox.sqlite").write_bytes(b"no database" * 1000)
    more = shell.manifest("video_translate_id\ntwo\n", "n.csv")
    result = shell.run("run", more, "--sandbox")
    assert result.returncode == 3
    assert "the sandbox did not start" in result.stderr


def test_run_import_without_space_is_reported(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\n" + "".join(f"video-{n}\n" for n in range(20_000)))
    limit = (600 * 1024, 600 * 1024)
    result = shell.run(
        "run",
        name,
        "--sandbox",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr
    assert "hint: " in result.stderr


def test_run_in_folder_with_files_named_like_modules_works(shell: Shell) -> None:
    for module in ("socket", "pickle", "queue", "signal", "batchcap"):
        (shell.folder / f"{module}.py").write_text("raise SystemExit('the wrong one')\n")
    name = shell.manifest("video_translate_id\none\n")
    command = Path(sys.executable).with_name("batchcap")
    process = subprocess.run(
        [command, "run", name, "--sandbox"],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert [result["state"] for result in shell.results()] == ["done"]


def test_run_closed_stdin_does_not_free_the_lock(shell: Shell, sandbox: Mapping[str, str]) -> None:
    name = shell.manifest("video_translate_id\n" + "".join(f"video-{n}\n" for n in range(300)))
    command = [sys.executable, "-m", "batchcap", "run", name, "--rate", "heygen=100/s"]
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command],
        cwd=shell.folder,
        env=shell.environment,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    files = shell.folder / "captions"
    while not list(files.rglob("*.vtt")):
        assert process.poll() is None
        time.sleep(0.02)
    assert Lock.holder(files) is not None
    process.kill()
    process.wait()
    assert shell.run("resume", *UNLIMITED).returncode == 0
