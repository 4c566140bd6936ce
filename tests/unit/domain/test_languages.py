"""One language in several spellings: tags, tasks, and the text tracks of an asset."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.domain.errors import RowError
from batchcap.domain.languages import canonical, language_and_script
from batchcap.domain.models import Row
from batchcap.manifest import ManifestOptions, languages, read
from batchcap.providers.mux.assets import Asset, Track
from batchcap.providers.mux.job_history import is_same_work
from batchcap.providers.mux.schema import mark
from tests.harness.rows import COLUMNS

SPELLINGS = [("iw", "he"), ("no", "nb"), ("in", "id"), ("eng", "en"), ("pt-BR", "por-br")]


def asset(*tags: str) -> Asset:
    tracks = tuple(Track(f"t{n}", tag, tag, "ready", "uploaded") for n, tag in enumerate(tags))
    return Asset("a1", tracks, {})


@pytest.mark.parametrize(("tag", "other"), [*SPELLINGS, ("ji", "yi"), ("EN", "en"), ("jw", "jv")])
def test_canonical_of_two_spellings_is_the_same(tag: str, other: str) -> None:
    assert canonical(tag) == canonical(other)


@pytest.mark.parametrize(
    ("tag", "other"), [("en", "en-US"), ("zh-Hans", "zh-Hant"), ("nn", "no"), ("es", "es-419")]
)
def test_canonical_of_two_variants_differs(tag: str, other: str) -> None:
    assert canonical(tag) != canonical(other)


@pytest.mark.parametrize("text", ["", "Spanish (Spain)", "_", "a" * 300, "\u65e5"])
def test_canonical_of_other_text_is_lower_case(text: str) -> None:
    assert canonical(text) == text.lower()
    assert language_and_script(text)[1] == ""


@pytest.mark.parametrize(
    "tag", ["tok", "tok-CQ", "vi-Gara", "es-pehoeji", "es", "zh-Hant-TW", "sr-Latn", "ES", "cmn"]
)
def test_tag_of_registered_subtags_is_accepted_without_a_note(tag: str) -> None:
    assert languages.tag(tag) == tag
    assert languages.note(tag) == ""


@pytest.mark.parametrize(("tag", "hint"), [("zz", ""), ("zzq-ZY", ""), ("jp", "'ja'")])
def test_tag_that_is_not_registered_is_accepted_with_a_note(tag: str, hint: str) -> None:
    assert languages.tag(tag) == tag
    note = languages.note(tag)
    assert note.startswith(f"'{tag}' is not in the registry of languages")
    assert hint in note


def test_manifest_notes_each_unregistered_tag_once(tmp_path: Path) -> None:
    source = tmp_path / "m.csv"
    source.write_text("asset_id,from_language,to_language_code\na1,jp,es;zz\na2,jp,zz\n")
    notes: list[str] = []
    rows = list(read(str(source), ManifestOptions(), COLUMNS, notes.append))
    assert [isinstance(row, Row) for row in rows] == [True] * 3
    assert [note.split(" is not ")[0] for note in notes] == [
        f"{source}:2: to_language_code: 'zz'",
        f"{source}:2: from_language: 'jp'",
    ]


@pytest.mark.parametrize(("tag", "other"), SPELLINGS)
def test_task_in_two_spellings_is_one_task(tag: str, other: str, tmp_path: Path) -> None:
    source = tmp_path / "m.csv"
    source.write_text(f"asset_id,to_language_code\na1,{tag};{other}\na1,{other}\n")
    rows = [row for row in read(str(source), ManifestOptions(), COLUMNS) if isinstance(row, Row)]
    assert [row.language for row in rows] == [tag, other]
    assert len({row.target for row in rows}) == 1
    assert mark("a1", tag) == mark("a1", other)
    job = {"parameters": {"asset_id": "a1", "to_language_code": tag, "track_id": "t1"}}
    assert is_same_work(job, "a1", other, "t1")


@pytest.mark.parametrize(("tag", "other"), SPELLINGS)
def test_track_in_another_spelling_is_that_language(tag: str, other: str) -> None:
    tracks = asset(tag, "ko")
    assert tracks.source_track(other).id == "t0"
    track = tracks.in_language(other)
    assert track is not None
    assert track.id == "t0"


@pytest.mark.parametrize(
    ("tags", "wanted", "chosen"),
    [
        (("zh-TW", "zh-CN"), "zh-Hant", "t0"),
        (("zh-TW", "zh-CN"), "zh-Hans", "t1"),
        (("zh-TW", "zh-CN"), "zh", "t1"),
        (("zh-Hant",), "zh-HK", "t0"),
        (("sr-Latn", "sr"), "sr-Cyrl", "t1"),
        (("en-GB",), "en", "t0"),
    ],
)
def test_source_track_follows_language_and_script(
    tags: tuple[str, ...], wanted: str, chosen: str
) -> None:
    assert asset(*tags).source_track(wanted).id == chosen


@pytest.mark.parametrize(
    ("tags", "wanted"), [(("zh-CN",), "zh-Hant"), (("sr",), "sr-Latn"), (("zh",), "zh-TW")]
)
def test_source_track_in_another_script_is_not_taken(tags: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(RowError) as caught:
        asset(*tags).source_track(wanted)
    assert caught.value.code == "track_not_found"
