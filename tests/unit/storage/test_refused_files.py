"""What was refused is kept for its owner alone: text, and a bounded number of bytes and files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from batchcap.storage.refused_files import MAX_BYTES, MAX_FILES, RefusedFiles


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / ".batchcap").mkdir()
    return tmp_path


def keep(refused: RefusedFiles, path: str, data: bytes) -> Path | None:
    name = refused.reserve(path, data)
    return None if name is None else refused.write(name, data)


def test_refused_files_are_readable_by_their_owner_alone(out: Path) -> None:
    refused_file = keep(RefusedFiles(out), "mux/a.es.vtt", b"<html>")
    assert refused_file is not None
    assert refused_file.read_bytes() == b"<html>"
    assert stat.S_IMODE(refused_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(refused_file.parent.stat().st_mode) == 0o700


def test_refused_files_keep_the_latest_of_a_caption(out: Path) -> None:
    refused = RefusedFiles(out)
    first, second = keep(refused, "a.vtt", b"one"), keep(refused, "a.vtt", b"two")
    assert first == second
    assert second is not None
    assert second.read_bytes() == b"two"


def test_refused_files_are_bounded_in_number_over_several_runs(out: Path) -> None:
    for number in range(MAX_FILES):
        assert keep(RefusedFiles(out), f"{number}.vtt", b"text")
    refused = RefusedFiles(out)
    assert keep(refused, "more.vtt", b"text") is None
    assert keep(refused, "0.vtt", b"text again")
    refused.discard("0.vtt")
    assert keep(refused, "more.vtt", b"text")
    assert len(list(refused.folder.iterdir())) == MAX_FILES


def test_refused_files_are_bounded_in_bytes_and_may_end_within_a_character(out: Path) -> None:
    refused_file = keep(RefusedFiles(out), "a.vtt", b"x" + "\u00e9".encode() * MAX_BYTES)
    assert refused_file is not None
    assert refused_file.stat().st_size == MAX_BYTES


@pytest.mark.parametrize(
    "data", [b"", b"\x00text", b"\x1f\x8b\x08\x00", "caf\u00e9".encode("latin-1")]
)
def test_refused_files_keep_nothing_that_is_no_text(out: Path, data: bytes) -> None:
    refused = RefusedFiles(out)
    assert refused.reserve("a.vtt", data) is None
    assert not refused.folder.exists()


def test_refused_files_follow_no_link_and_fail_without_an_error(out: Path) -> None:
    outside = out / "outside"
    outside.mkdir()
    refused = RefusedFiles(out)
    refused.folder.symlink_to(outside)
    assert keep(refused, "a.vtt", b"text") is None
    assert list(outside.iterdir()) == []
