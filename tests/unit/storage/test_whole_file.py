"""A file that is complete or absent."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from batchcap.storage.whole_file import whole_file


def test_whole_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_whole_file_that_fails_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "r"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_file_has_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "r"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o640


def test_whole_file_replaces_what_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_whole_file_writes_a_device_directly() -> None:
    with whole_file(Path(os.devnull)) as file:
        file.write(b"x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.parametrize("name", ["missing/r", "."])
def test_whole_file_that_cannot_be_made_raises_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError), whole_file(tmp_path / name):  # noqa: PT011  # of any kind
        pytest.fail("entered")
