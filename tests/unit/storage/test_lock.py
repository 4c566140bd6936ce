"""The lock of a ledger: one run at a time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from batchcap.domain.errors import FatalError
from batchcap.storage.ledger import Lock, folder, lock

HOLD = (
    "import sys; from pathlib import Path; from batchcap.storage.ledger import Lock\n"
    "with Lock(Path(sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds the lock until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def without_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held is refused at once, not after half a second."""
    monkeypatch.setattr(lock, "_BUSY_WAIT", 0.0)


class TestLock:
    """The lock belongs to one process, and is released when that process ends."""

    @pytest.mark.usefixtures("without_wait")
    def test_lock_held_names_its_holder(self, tmp_path: Path) -> None:
        with Lock(tmp_path):
            holder = Lock.holder(tmp_path)
            assert holder is not None
            with pytest.raises(FatalError, match=f"held by process {holder.pid} on ") as caught:
                Lock(tmp_path).__enter__()
            assert "batchcap status" in caught.value.hint
        assert Lock.holder(tmp_path) is None

    def test_lock_released_can_be_taken_again(self, tmp_path: Path) -> None:
        for _ in range(3):
            with Lock(tmp_path):
                assert Lock.holder(tmp_path) is not None

    def test_lock_held_for_a_moment_is_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ExitStack() as moment:
            moment.enter_context(Lock(tmp_path))
            monkeypatch.setattr(time, "sleep", lambda _seconds: moment.close())
            with Lock(tmp_path):
                assert Lock.holder(tmp_path) is not None

    @pytest.mark.usefixtures("without_wait")
    def test_lock_refused_stays_with_its_holder(self, tmp_path: Path) -> None:
        with Lock(tmp_path):
            for _ in range(3):
                with pytest.raises(FatalError):
                    Lock(tmp_path).__enter__()
            assert Lock.holder(tmp_path) is not None

    def test_lock_never_taken_has_no_holder(self, tmp_path: Path) -> None:
        assert Lock.holder(tmp_path) is None
        assert list(tmp_path.iterdir()) == []

    def test_lock_of_another_folder_is_free(self, tmp_path: Path) -> None:
        with Lock(tmp_path / "a"), Lock(tmp_path / "b"):
            pass

    @pytest.mark.usefixtures("without_wait")
    def test_lock_of_another_process_is_refused(
        self, tmp_path: Path, holder: subprocess.Popen[str]
    ) -> None:
        current = Lock.holder(tmp_path)
        assert current is not None
        assert current.pid == holder.pid
        with pytest.raises(FatalError, match=f"held by process {holder.pid} on {current.host}"):
            Lock(tmp_path).__enter__()

    def test_lock_of_a_killed_process_is_free(
        self, tmp_path: Path, holder: subprocess.Popen[str]
    ) -> None:
        holder.kill()
        holder.wait()
        assert Lock.holder(tmp_path) is None
        with Lock(tmp_path):
            pass

    def test_lock_file_with_garbage_can_be_taken(self, tmp_path: Path) -> None:
        folder(tmp_path).mkdir()
        (folder(tmp_path) / "lock").write_bytes(b"{rubbish" * 10)
        with Lock(tmp_path):
            assert Lock.holder(tmp_path) is not None

    @pytest.mark.usefixtures("without_wait")
    @pytest.mark.parametrize("content", [b"\xff\xfe", b"[1, 2]", b'{"pid": "x"}', b"null"])
    def test_lock_holder_that_cannot_be_read_is_another_run(
        self, tmp_path: Path, content: bytes
    ) -> None:
        with Lock(tmp_path):
            (folder(tmp_path) / "lock").write_bytes(content)
            with pytest.raises(FatalError, match="held by another run"):
                Lock(tmp_path).__enter__()

    def test_lock_folder_that_cannot_be_made_is_fatal(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("a file")
        with pytest.raises(FatalError):
            Lock(tmp_path / "out").__enter__()
