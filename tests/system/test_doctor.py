"""`batchcap doctor` in a terminal, on machines with something wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.conftest import COMMAND, Shell, request_log

BOUND = "-dac_override,-dac_read_search"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk without free space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    with pytest.raises(OSError, match="No space left"):
        (disk / "rest").write_bytes(bytes(10**6))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_doctor_with_the_sandbox_finds_no_problem(shell: Shell) -> None:
    shell.environment["XDG_STATE_HOME"] = str(shell.folder / "state")
    result = shell.run("doctor", "--sandbox")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "problem" not in result.stdout
    assert list(shell.folder.iterdir()) == []


def test_doctor_full_disk_low_file_limit_and_wrong_key_are_problems(
    shell: Shell, sandbox: Mapping[str, str], full_disk: Path
) -> None:
    shell.environment["HEYGEN_API_KEY"] = "wrong-heygen-key-of-the-user"
    result = shell.run(
        "doctor",
        "--json",
        "-o",
        str(full_disk),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90)),
    )
    assert (result.returncode, result.stderr) == (1, "")
    document = json.loads(result.stdout)
    found = {each["subject"]: each for each in document["checks"]}
    assert document["ok"] is False
    assert found["output folder"]["message"].endswith("No space left on device")
    assert found["output folder"]["hint"].startswith("Free disk space")
    assert found["open files"]["level"] == "warning"
    assert found["heygen key"]["level"] == "problem"
    assert found["mux key"]["level"] == "ok"
    assert "wrong-heygen-key" not in result.stdout
    log = request_log(sandbox)
    assert log["creates"] == log["translations"] == []


def test_doctor_read_only_folder_is_a_problem(shell: Shell) -> None:
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root is bound by permissions only with setpriv")
    folder = shell.folder / "captions"
    folder.mkdir(mode=0o555)
    bound = ["setpriv", "--bounding-set", BOUND] if os.getuid() == 0 else []
    result = subprocess.run(
        [*bound, *COMMAND, "doctor"],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "problem  output folder  cannot write to captions: Permission denied" in result.stdout
    assert "hint: Fix the permissions" in result.stdout
