"""Names of the source captions: ids are any text, and no two of them share a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.storage.sources import source_file, source_path

HOSTILE = ["../../x", "/etc/passwd", "a/b", "", ".", "CON", "nul", "a\nb", "\ud800", "é" * 500]


def put(out: Path, source_id: str, track: str, provider: str = "mux") -> Path:
    path = out / source_path(out, provider, source_id, track)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("WEBVTT\n")
    os.utime(path.parent, ns=(0, len(list(path.parent.iterdir()))))  # clocks may be coarse
    return path


def test_source_file_without_captions_is_none(tmp_path: Path) -> None:
    assert source_file(tmp_path, "mux", "film") is None


def test_source_file_of_the_only_track_is_found_by_its_source(tmp_path: Path) -> None:
    path = put(tmp_path, "film", "track_1")
    assert path == tmp_path / ".batchcap/sources/mux/film.track_1.vtt"
    assert source_file(tmp_path, "mux", "film") == path
    assert source_file(tmp_path, "mux", "film", "track_1") == path
    assert source_file(tmp_path, "mux", "film", "track_2") is None
    assert source_file(tmp_path, "heygen", "film") is None


def test_source_file_of_several_tracks_needs_the_track(tmp_path: Path) -> None:
    first, second = put(tmp_path, "film", "a"), put(tmp_path, "film", "B")
    assert source_file(tmp_path, "mux", "film") is None
    assert source_file(tmp_path, "mux", "film", "a") == first
    assert source_file(tmp_path, "mux", "film", "B") == second


def test_source_file_that_is_a_link_is_not_returned(tmp_path: Path) -> None:
    path = put(tmp_path, "film", "a")
    path.rename(path.with_name("other"))
    path.symlink_to("other")
    os.utime(path.parent, ns=(0, 99))
    assert source_file(tmp_path, "mux", "film") is None


@pytest.mark.parametrize("source_id", HOSTILE)
def test_source_path_of_a_hostile_id_stays_in_its_folder(tmp_path: Path, source_id: str) -> None:
    path = put(tmp_path, source_id, source_id)
    assert path.resolve().parent == tmp_path.resolve() / ".batchcap/sources/mux"
    assert source_file(tmp_path, "mux", source_id) == path


@given(st.text(), st.text())
def test_source_path_of_two_ids_differs_even_without_case(first: str, second: str) -> None:
    paths = {source_path(Path("out"), "mux", text, "t").casefold() for text in (first, second)}
    assert len(paths) == len({first, second})
