"""Reading commands in folders where the user may not write, and in folders of other users."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.conftest import COMMAND, UNLIMITED, Shell, set_options

MANIFEST = "asset_id,to_language_code,video_translate_id\nfilm-1,es,\n,,one\n"
READING = [["status"], ["verify"], ["report"], ["report", "--format", "csv"], ["audit"]]
BOUND = "-dac_override,-dac_read_search"


class RestrictedShell(Shell):
    """A shell whose commands are bound by permissions, even if root runs the tests."""

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end."""
        bound = ["setpriv", "--bounding-set", BOUND] if os.getuid() == 0 else []
        return subprocess.run(
            [*bound, *COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture
def reader(shell: Shell) -> Iterator[RestrictedShell]:
    """A shell in the same folder and environment; the folder is writable again afterwards."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root is bound by permissions only with setpriv")
    reading = RestrictedShell(shell.folder)
    reading.environment = shell.environment
    yield reading
    for path in (shell.folder / "captions", shell.folder / "captions/.batchcap"):
        path.chmod(0o755)


def lock_folder(shell: Shell) -> None:
    """Make the output folder and the ledger's folder read-only."""
    for path in (shell.folder / "captions/.batchcap", shell.folder / "captions"):
        path.chmod(0o555)


def finished(shell: Shell) -> None:
    result = shell.run("run", shell.manifest(MANIFEST), *UNLIMITED)
    assert result.returncode == 0, result.stderr


def test_commands_read_a_read_only_folder_as_any_other(
    shell: Shell, sandbox: Mapping[str, str], reader: RestrictedShell
) -> None:
    finished(shell)
    usual = [reader.run(*arguments).stdout for arguments in READING]
    for path in (shell.folder / "captions/.batchcap").glob("ledger.sqlite-*"):
        path.unlink()  # which reading in a folder that is not read-only leaves there, empty
    lock_folder(shell)
    for arguments, expected in zip(READING, usual, strict=True):
        result = reader.run(*arguments)
        assert (result.returncode, result.stdout) == (0, expected), (arguments, result.stderr)
    assert not list((shell.folder / "captions/.batchcap").glob("ledger.sqlite-*"))


def test_status_of_a_read_only_folder_with_an_empty_log_shows_the_run(
    shell: Shell, sandbox: Mapping[str, str], reader: RestrictedShell
) -> None:
    finished(shell)
    (shell.folder / "captions/.batchcap/ledger.sqlite-wal").touch()
    lock_folder(shell)
    result = reader.run("status")
    assert result.returncode == 0, result.stderr
    assert "2 of 2 captions done" in result.stdout


def test_status_of_a_read_only_folder_during_a_run_shows_the_run(
    shell: Shell, sandbox: Mapping[str, str], reader: RestrictedShell
) -> None:
    set_options(sandbox, job_seconds=60)
    run = shell.start("run", shell.manifest(MANIFEST), "--no-progress", *UNLIMITED)
    try:
        while not list((shell.folder / "captions").rglob("*.vtt")):
            assert run.poll() is None
            time.sleep(0.02)
        lock_folder(shell)
        status = json.loads(reader.run("status", "--json").stdout)
        assert (status["done"], status["pending"]) == (1, 1)
        assert status["running"]["pid"] == run.pid
    finally:
        run.kill()
        run.communicate()


@pytest.fixture
def killed(shell: Shell, sandbox: Mapping[str, str]) -> Path:
    """The ledger's folder of a copy of a killed run: with a log, but without its -shm."""
    shell.environment["BATCHCAP_CRASH_AT"] = "8"
    killed = shell.run("run", shell.manifest(MANIFEST), *UNLIMITED)
    assert killed.returncode == -signal.SIGKILL
    del shell.environment["BATCHCAP_CRASH_AT"]
    folder = shell.folder / "captions/.batchcap"
    assert (folder / "ledger.sqlite-wal").stat().st_size
    (folder / "ledger.sqlite-shm").unlink()
    return folder


def without_ages(text: str) -> str:
    """Return the output of `status` without how long jobs have been open."""
    return re.sub(r"for [\d.]+s$", "", text, flags=re.MULTILINE)


def test_commands_on_a_killed_run_in_a_read_only_folder_read_a_copy_of_its_log(
    shell: Shell, reader: RestrictedShell, killed: Path
) -> None:
    shutil.copytree(shell.folder / "captions", shell.folder / "writable")
    reader.environment["TMPDIR"] = str(shell.folder / "tmp")
    (shell.folder / "tmp").mkdir()
    lock_folder(shell)
    for arguments in READING:
        where = "--dir" if arguments[0] == "report" else "-o"
        expected = reader.run(*arguments, where, "writable")
        result = reader.run(*arguments)
        assert result.returncode == expected.returncode == 0, (arguments, result.stderr)
        shown = expected.stdout.replace(" -o writable", "")
        assert without_ages(result.stdout) == without_ages(shown)
    assert not (killed / "ledger.sqlite-shm").exists()
    assert list((shell.folder / "tmp").iterdir()) == []


def test_commands_on_a_killed_run_that_cannot_be_copied_explain_themselves(
    shell: Shell, reader: RestrictedShell, killed: Path
) -> None:
    (killed / "ledger.sqlite-wal").chmod(0o000)
    lock_folder(shell)
    for arguments in READING:
        result = reader.run(*arguments)
        assert result.returncode == 3, arguments
        assert "its last run did not end" in result.stderr
        assert "Permission denied" in result.stderr
        assert "hint: Copy the whole folder" in result.stderr
        assert "rebuild" not in result.stderr


def test_status_of_a_killed_run_whose_copy_fills_the_temporary_disk_blames_the_disk(
    shell: Shell, killed: Path
) -> None:
    folder = str(shell.folder / "captions")
    pages = sum(-(-file.stat().st_size // 4096) for file in killed.glob("ledger.sqlite*"))
    script = (
        f"mount -t tmpfs -o size={pages * 4096 + 8192} tmpfs {shell.folder}/tmp && "
        f'mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "$@"'
    )
    (shell.folder / "tmp").mkdir()
    mounted = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root and unshare")
    result = subprocess.run(
        [*mounted, *COMMAND, "status"],
        cwd=shell.folder,
        env={**shell.environment, "TMPDIR": str(shell.folder / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "a temporary copy failed" in result.stderr
    assert "hint: Copy the whole folder" in result.stderr


def test_commands_read_a_folder_on_a_disk_that_is_mounted_read_only(
    shell: Shell, killed: Path
) -> None:
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    mounted = ["unshare", "-m", "sh", "-c", mount, "sh", str(shell.folder / "captions")]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root and unshare")
    result = subprocess.run(
        [*mounted, *COMMAND, "status"],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "of 2 captions done" in result.stdout


def refused_by_permission(result: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a command names the permission as the reason, and no rebuild."""
    return (
        result.returncode == 3
        and result.stderr.startswith("error: ")
        and "ermission" in result.stderr
        and "Traceback" not in result.stderr
        and "rebuild" not in result.stderr
    )


@pytest.mark.parametrize("private", ["captions/.batchcap", "captions/.batchcap/ledger.sqlite"])
def test_commands_on_a_folder_that_may_not_be_read_name_the_permission(
    shell: Shell, reader: RestrictedShell, private: str
) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    (shell.folder / private).chmod(0o000)
    for arguments in (*READING, ["resume", "--sandbox"], ["verify", "--repair", "--sandbox"]):
        result = reader.run(*arguments)
        assert refused_by_permission(result), (arguments, result.stderr)


def test_writing_commands_in_a_read_only_folder_do_not_advise_a_rebuild(
    shell: Shell, reader: RestrictedShell
) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    lock_folder(shell)
    (shell.folder / "captions/.batchcap/ledger.sqlite").chmod(0o444)
    for arguments in (["run", name], ["resume"], ["verify", "--repair"]):
        result = reader.run(*arguments, "--sandbox")
        assert refused_by_permission(result), (arguments, result.stderr)


def test_status_of_a_damaged_ledger_advises_a_rebuild(shell: Shell) -> None:
    folder = shell.folder / "captions/.batchcap"
    folder.mkdir(parents=True)
    (folder / "ledger.sqlite").write_bytes(b"this is not a database" * 100)
    result = shell.run("status")
    assert result.returncode == 3
    assert "batchcap rebuild MANIFEST" in result.stderr
    assert not Path(folder / "ledger.sqlite-wal").exists()
