"""The rules of manifests, and every kind of invalid input with its line."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow, Row
from batchcap.manifest import ManifestOptions, fingerprint, paths, read
from batchcap.manifest.decoding import MAX_LINE
from batchcap.manifest.messages import MAX_QUOTED, InvalidValue, quote
from batchcap.manifest.tables import MAX_FIELD
from tests.harness.rows import COLUMNS

SAMPLES = Path(__file__).parents[3] / "manifests"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_all(content: str | bytes, source: str = "m.csv", **options: Any) -> list[Row | InvalidRow]:
    data = content.encode() if isinstance(content, str) else content
    Path(source).write_bytes(data)
    return list(read(source, ManifestOptions(**options), COLUMNS))


def valid_rows(content: str | bytes, source: str = "m.csv", **options: Any) -> list[Row]:
    rows = read_all(content, source, **options)
    assert [row for row in rows if isinstance(row, InvalidRow)] == []
    return [row for row in rows if isinstance(row, Row)]


def problems(content: str | bytes, source: str = "m.csv", **options: Any) -> list[str]:
    """Return the problems as they are printed."""
    bad = [row for row in read_all(content, source, **options) if isinstance(row, InvalidRow)]
    assert all(row.origin == f"{source}:{row.line}" for row in bad)
    assert all("\n" not in row.message for row in bad)
    return [f"{row.origin}: {row.message}" for row in bad]


def item(**columns: Any) -> str:
    return json.dumps({"asset_id": "a1", "to_language_code": "es", **columns}) + "\n"


# Columns


@pytest.mark.usefixtures("folder")
class TestColumns:
    def test_csv_row_becomes_a_row(self) -> None:
        [row] = valid_rows("provider,asset_id,track_id,to_language_code,title\nmux,a1,t1,es,One\n")
        assert row == Row(
            key="mux:a1:es",
            provider="mux",
            source_id="a1",
            language="es",
            target="es",
            path="mux/a1.es.vtt",
            params={"track_id": "t1"},
            meta={"title": "One"},
            origin="m.csv:2",
        )

    def test_provider_that_is_missing_is_implied_by_the_id_column(self) -> None:
        rows = valid_rows(
            "asset_id,video_translate_id,video_translation_id,to_language_code\n"
            "a1,,,es\n,v1,,\n,,v2,\n"
        )
        assert [(row.provider, row.source_id) for row in rows] == [
            ("mux", "a1"),
            ("heygen", "v1"),
            ("heygen", "v2"),
        ]

    def test_provider_that_is_unknown_is_refused(self) -> None:
        assert problems("provider,asset_id\nvimeo,a1\n", to=("es",)) == [
            "m.csv:2: provider: 'vimeo' is unknown, it is mux or heygen"
        ]

    def test_row_without_an_id_is_refused(self) -> None:
        [problem] = problems("asset_id,to_language_code,x\na1,es,\n,es,1\n")
        assert problem.startswith("m.csv:3: provider: missing, and the row has none of asset_id")

    def test_row_without_the_id_of_its_provider_is_refused(self) -> None:
        assert problems("provider,asset_id\nheygen,a1\nmux,\n", to=("es",)) == [
            "m.csv:2: video_translate_id: missing",
            "m.csv:3: asset_id: missing",
        ]

    def test_two_heygen_ids_that_differ_are_a_problem(self) -> None:
        content = "provider,video_translate_id,video_translation_id\nheygen,v1,v1\nheygen,v1,v2\n"
        assert problems(content) == [
            "m.csv:3: video_translate_id: differs from video_translation_id"
        ]

    def test_missing_language_without_to_is_a_problem(self) -> None:
        assert problems("asset_id,to_language_code\na1,\n") == [
            "m.csv:2: to_language_code: missing, and there is no --to"
        ]

    def test_to_stands_in_for_a_missing_language_only(self) -> None:
        rows = valid_rows("asset_id,to_language_code\na1,\na2,es\n", to=("ja", "fr"))
        assert [row.key for row in rows] == ["mux:a1:ja", "mux:a1:fr", "mux:a2:es"]

    @pytest.mark.parametrize("cell", ["es;ja;pt-BR", " es ; ja;pt-BR;", "es;ja;es;pt-BR;ES"])
    def test_language_list_makes_a_row_each(self, cell: str) -> None:
        rows = valid_rows(f"asset_id,to_language_code\na1,{cell}\n")
        assert [row.language for row in rows] == ["es", "ja", "pt-BR"]
        assert [row.path for row in rows][2] == "mux/a1.pt-BR.vtt"

    def test_language_list_in_json_makes_a_row_each(self) -> None:
        rows = valid_rows(item(to_language_code=["es", "ja"]), "m.jsonl")
        assert [row.key for row in rows] == ["mux:a1:es", "mux:a1:ja"]

    @pytest.mark.parametrize("tag", ["es", "ES", "zh-Hans-CN", "es-419", "sr-Latn", "cmn"])
    def test_language_tags_are_kept_as_given(self, tag: str) -> None:
        assert valid_rows(f"asset_id,to_language_code\na1,{tag}\n")[0].language == tag

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("Spanish", "'Spanish' is not a language tag (write es)"),
            ("Spanish (Mexico)", "'Spanish (Mexico)' is not a language tag (write es-MX)"),
            ("Brazilian Portuguese", "'Brazilian Portuguese' is not a language tag (write pt-BR)"),
            (
                "Chinese - Simplified",
                "'Chinese - Simplified' is not a language tag (write zh-Hans)",
            ),
            ("Deutsch", "'Deutsch' is not a language tag (write de)"),
            ("\u65e5\u672c\u8a9e", "'\u65e5\u672c\u8a9e' is not a language tag (write ja)"),
            ("Thai", "'Thai' is not a language tag (write th)"),
            ("qqqq", "'qqqq' is not a language tag (such as es or pt-BR)"),
            ("zh-TW-Hant", "'zh-TW-Hant' is not a language tag (such as es or pt-BR)"),
            ("es|ja", "'es|ja' is not a language tag (several are separated by ';')"),
            (";", "names no language"),
        ],
    )
    def test_language_that_is_not_a_tag_is_refused(self, cell: str, message: str) -> None:
        assert problems(f"asset_id,to_language_code\na0,es\na1,{cell}\n") == [
            f"m.csv:3: to_language_code: {message}"
        ]

    def test_from_language_column_and_option(self) -> None:
        rows = valid_rows(
            "asset_id,track_id,from_language\na1,,en-GB\na2,,\na3,t3,\n",
            to=("es",),
            from_language="en",
        )
        assert [row.params for row in rows] == [
            {"from_language": "en-GB"},
            {"from_language": "en"},
            {"track_id": "t3"},
        ]

    def test_from_language_is_checked(self) -> None:
        [problem] = problems("asset_id,from_language\na1,English\n", to=("es",))
        assert problem.startswith("m.csv:2: from_language: 'English' is not a language tag")

    def test_params_have_the_types_of_the_api(self) -> None:
        [row] = valid_rows(
            "asset_id,to_language_code,passthrough,upload_to_mux,track_name,never_translate,"
            "replace_existing_tracks\na1,es,mine,No,Español,Acme; batchcap,fail\n"
        )
        assert row.params == {
            "passthrough": "mine",
            "upload_to_mux": False,
            "track_name": "Español",
            "never_translate": ["Acme", "batchcap"],
            "replace_existing_tracks": "fail",
        }

    @pytest.mark.parametrize("cell", ['"[""[x]"",""a;b""]"', "[x];a"])
    def test_never_translate_takes_a_json_list_in_csv(self, cell: str) -> None:
        [row] = valid_rows(f"asset_id,to_language_code,never_translate\na1,es,{cell}\n")
        assert row.params["never_translate"][0] == "[x]"

    @pytest.mark.parametrize(
        ("cell", "flag"),
        [
            ("true", True),
            ("TRUE", True),
            ("1", True),
            ("yes", True),
            ("false", False),
            ("0", False),
        ],
    )
    def test_flag_in_csv_is_true_or_false(self, cell: str, flag: bool) -> None:
        [row] = valid_rows(f"asset_id,to_language_code,upload_to_mux\na1,es,{cell}\n")
        assert row.params == {"upload_to_mux": flag}

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"asset_id": 123}, "asset_id: ids are strings: put the number 123 in quotes"),
            ({"asset_id": ["a"]}, "asset_id: expected a string, got a list"),
            ({"asset_id": True}, "asset_id: expected a string, got true"),
            ({"to_language_code": {}}, "to_language_code: expected language tags, got an object"),
            (
                {"to_language_code": ["es", 1]},
                "to_language_code: expected a list of language tags, got the number 1 in it",
            ),
            ({"to_language_code": []}, "to_language_code: names no language"),
            (
                {"from_language": 1},
                "from_language: expected a language tag like 'es', got the number 1",
            ),
            ({"track_id": 5}, "track_id: ids are strings: put the number 5 in quotes"),
            ({"passthrough": {"a": 1}}, "passthrough: expected a string, got an object"),
            ({"upload_to_mux": 1}, "upload_to_mux: expected true or false, got the number 1"),
            (
                {"upload_to_mux": "maybe"},
                "upload_to_mux: expected true or false (or yes, no, 1, 0), got 'maybe'",
            ),
            ({"track_name": []}, "track_name: expected a string, got a list"),
            ({"never_translate": {}}, "never_translate: expected a list of strings, got an object"),
            (
                {"never_translate": [None]},
                "never_translate: expected a list of strings, got null in it",
            ),
            (
                {"never_translate": ["<b>"]},
                "never_translate: '<b>' holds '<' or '>', which Mux refuses",
            ),
            (
                {"replace_existing_tracks": False},
                "replace_existing_tracks: expected a string, got false",
            ),
            ({"key": 7}, "key: ids are strings: put the number 7 in quotes"),
            ({"name": 7}, "name: expected a string, got the number 7"),
            ({"provider": 7}, "provider: the number 7 is unknown, it is mux or heygen"),
        ],
    )
    def test_value_of_a_wrong_type_is_a_problem(
        self, columns: dict[str, Any], message: str
    ) -> None:
        assert problems("\n" + item(**columns), "m.jsonl") == [f"m.jsonl:2: {message}"]

    def test_record_with_several_problems_reports_all(self) -> None:
        assert problems(item(to_language_code="xxxx", upload_to_mux=3, key=" "), "m.jsonl") == [
            "m.jsonl:1: to_language_code: 'xxxx' is not a language tag (such as es or pt-BR); "
            "key: is blank; upload_to_mux: expected true or false, got the number 3"
        ]

    def test_invalid_row_keeps_what_could_be_read(self) -> None:
        [bad] = read_all(item(upload_to_mux=3, key="k1"), "m.jsonl")
        assert isinstance(bad, InvalidRow)
        assert (bad.key, bad.provider, bad.source_id, bad.language) == ("k1", "mux", "a1", "es")
        [bad] = read_all(item(upload_to_mux=3, title="T", deep={"a": 1}), "m.jsonl")
        assert isinstance(bad, InvalidRow)
        assert bad.meta == {"title": "T"}

    def test_heygen_label_may_be_any_text_of_one_line(self) -> None:
        rows = valid_rows("video_translate_id,language\nv1,Spanish (Spain)\nv2,\n")
        assert [(row.language, row.key, row.path) for row in rows] == [
            ("Spanish (Spain)", "heygen:v1:Spanish (Spain)", "heygen/v1.Spanish (Spain).vtt"),
            (None, "heygen:v2", "heygen/v2.vtt"),
        ]

    def test_heygen_label_with_control_characters_is_a_problem(self) -> None:
        assert problems("video_translate_id,language\nv1,a\x07b\n") == [
            "m.csv:2: language: 'a\\x07b' holds a control character"
        ]

    def test_caption_type_is_vtt_and_not_kept(self) -> None:
        content = "video_translate_id,caption_type\nv1,vtt\nv2,srt\n"
        row, bad = read_all(content)
        assert isinstance(row, Row)
        assert (row.params, row.meta) == ({}, {})
        assert isinstance(bad, InvalidRow)
        assert (bad.line, bad.message) == (3, "caption_type: expected vtt, got 'srt'")

    def test_column_of_the_user_is_kept(self) -> None:
        extra = {
            "title": "T",
            "n": 1,
            "deep": {"a": [1, None]},
            "language": "for mux just a column",
        }
        [row] = valid_rows(item(**extra), "m.jsonl")
        assert row.meta == extra

    def test_kept_columns_are_not_nested_without_end(self) -> None:
        deep: Any = 1
        for _ in range(200):
            deep = [deep]
        problem = "nested more than 100 deep"
        assert problems(item(x=deep), "m.jsonl") == [f"m.jsonl:1: 'x': {problem}"]
        wide = '{"asset_id": "a", "x": ' + "[" * 1000 + "1," * 100_000 + "1" + "]" * 1000 + "}"
        assert problems(wide, "m.jsonl", to=("es",)) == [f"m.jsonl:1: 'x': {problem}"]

    def test_key_is_the_users_own(self) -> None:
        rows = valid_rows("asset_id,to_language_code,key\na1,es,k1\na2,es;ja,k2\n")
        assert [row.key for row in rows] == ["k1", "k2:es", "k2:ja"]

    @pytest.mark.parametrize("empty", [None, ""])
    def test_empty_is_absent_in_json_too(self, empty: Any) -> None:
        [row] = valid_rows(item(track_id=empty, title=empty), "m.jsonl")
        assert (row.params, row.meta) == ({}, {})

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("x" * 256, "256 characters, at most 255 are possible"),
            ("a\tb", "'a\\tb' holds a control character"),
            ("a\x85b", "'a\\x85b' holds a control character"),
        ],
    )
    def test_id_with_invalid_characters_or_length_is_a_problem(
        self, cell: str, message: str
    ) -> None:
        assert problems(f"asset_id,to_language_code\n{cell},es\n") == [
            f"m.csv:2: asset_id: {message}"
        ]

    def test_messages_are_short_and_printable(self) -> None:
        [problem] = problems(item(provider="\x1b[31m\u202e" + "y" * 10_000), "m.jsonl")
        assert problem.isprintable()
        assert len(problem) < 120

    def test_every_provider_has_an_id_and_one_language_column(self) -> None:
        for columns in COLUMNS.values():
            assert columns.ids
            assert bool(columns.targets) != bool(columns.label)


# Paths


@pytest.mark.usefixtures("folder")
class TestPaths:
    def test_template_takes_any_column(self) -> None:
        [row] = valid_rows(
            "asset_id,to_language_code,track_id,season\na1,es,t1,S 1\n",
            name="{season}/{asset_id}-{track_id}-{to_language_code}-{key}.vtt",
        )
        assert row.path == "S 1/a1-t1-es-mux_a1_es.vtt"

    def test_template_takes_json_values_as_text(self) -> None:
        [row] = valid_rows(item(n=1, yes=True), "m.jsonl", name="{n}/{yes}.vtt")
        assert row.path == "1/true.vtt"

    def test_template_field_with_a_list_is_a_problem(self) -> None:
        assert problems(item(n=[1]), "m.jsonl", name="{n}.vtt") == [
            "m.jsonl:1: asset_id: 'n' is a list, which is no part of a path"
        ]

    def test_template_without_a_language_leaves_it_out(self) -> None:
        rows = valid_rows(
            "video_translate_id,language\nv1,\nv2,de\n", name="{language}{key}.{language}.vtt"
        )
        assert [row.path for row in rows] == ["heygen_v1.vtt", "deheygen_v2_de.de.vtt"]

    def test_template_with_an_unknown_field_is_a_problem_of_the_row(self) -> None:
        assert problems(
            "asset_id,to_language_code,title\na1,es,T\na2,es,\n", name="{title}.vtt"
        ) == ["m.csv:3: asset_id: the row has no column 'title' to fill in"]

    def test_template_with_percent_or_doubled_braces_keeps_them_literally(self) -> None:
        [row] = valid_rows("asset_id,to_language_code\na1,es\n", name="100%s{{x}}{source_id}.vtt")
        assert row.path == "100%s{x}a1.vtt"

    @pytest.mark.parametrize(
        "name",
        [
            *["{", "}", "{}", "{key", "{key!r}", "{key:>3}", "/abs/{key}", "../{key}", ""],
            *["a//{key}", ".batchcap/{key}", "results.jsonl", "C:/{key}", "a\\{key}", "con/{key}"],
        ],
    )
    def test_template_that_is_wrong_is_a_usage_error_at_once(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"^--name: "):
            read("m.csv", ManifestOptions(name=name), COLUMNS)

    def test_name_column_is_the_path_of_its_row(self) -> None:
        rows = valid_rows(
            "asset_id,to_language_code,name\na1,es,x/y z.vtt\na2,es;ja,{language}/y.vtt\n"
        )
        assert [row.path for row in rows] == ["x/y z.vtt", "es/y.vtt", "ja/y.vtt"]

    @pytest.mark.parametrize("place", ["column", "option"])
    def test_several_languages_need_several_paths(self, place: str) -> None:
        cell, options = ("x.vtt", {}) if place == "column" else ("", {"name": "x.vtt"})
        content = f"asset_id,to_language_code,name\na1,es;ja,{cell}\n"
        assert problems(content, **options) == [
            "m.csv:2: name: several languages need {language} in the path"
        ]

    def test_name_column_that_is_no_template_is_a_problem(self) -> None:
        [problem] = problems("asset_id,to_language_code,name\na1,es,a{b.vtt\n")
        assert problem.startswith("m.csv:2: name: 'a{b.vtt': ")

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("/etc/x", "is absolute"),
            ("C:/x", "is absolute"),
            ("c:x", "is absolute"),
            ("../x", "leaves the output folder"),
            ("a/../x", "leaves the output folder"),
            ("a/..", "leaves the output folder"),
            ("a\\b", "holds a backslash (folders are separated by '/')"),
            ("a//b", "has an empty part"),
            ("a/", "has an empty part"),
            ("./a", "has the part '.', which ends in a dot or a space"),
            ("a./b", "has the part 'a.', which ends in a dot or a space"),
            ("a /b", "has the part 'a ', which ends in a dot or a space"),
            ("con", "has the part 'con', a name reserved on Windows"),
            ("a/NUL.es.vtt", "has the part 'NUL.es.vtt', a name reserved on Windows"),
            ("com1/x", "has the part 'com1', a name reserved on Windows"),
            ("LPT\u00b9.txt", "has the part 'LPT\u00b9.txt', a name reserved on Windows"),
            (".batchcap/x", "takes the place of batchcap's own .batchcap"),
            (".BatchCap/x", "takes the place of batchcap's own .batchcap"),
            ("results.jsonl", "takes the place of batchcap's own results.jsonl"),
            ("RESULTS.JSONL/x", "takes the place of batchcap's own results.jsonl"),
            ("a\x01b", "holds a control character"),
            *(
                (f"aa{mark}b", f"holds {mark}, which Windows and network drives refuse")
                for mark in ':*?"<>|'
            ),
            ("\u00e9" * 128, "has a part of more than 255 bytes"),
            ("a/" * 600 + "b", "is longer than 1024 bytes"),
        ],
    )
    def test_path_that_is_unsafe_is_refused(self, name: str, error: str) -> None:
        assert problems(item(name=name), "m.jsonl") == [
            f"m.jsonl:1: name: the path {quote(name)} {error}"
        ]

    @pytest.mark.parametrize(
        "name",
        ["a/results.jsonl", "a/.batchcap", "console.vtt", "com10/x", "...a", "a b/\u00e9", "aa;b"],
    )
    def test_path_that_is_safe_is_accepted(self, name: str) -> None:
        assert valid_rows(item(name=name), "m.jsonl")[0].path == name

    @pytest.mark.parametrize(
        ("title", "name"),
        [
            ('A/B: "x"?', "A_B_ _x__"),
            ("a\\b<c>|*d", "a_b_c___d"),
            ("What...", "What"),
            ("..", "_"),
            ("../../etc", ".._.._etc"),
            (" . ", "_"),
            ("con", "_con"),
            ("cafe\u0301", "caf\u00e9"),
            ("a\tb\nc", "a_b_c"),
            ("\U0001f600" * 70, "\U0001f600" * 63),
            ("\u00e9" * 200, "\u00e9" * 127),
            ("\u65e5\u672c\u8a9e", "\u65e5\u672c\u8a9e"),
        ],
    )
    def test_column_in_a_path_is_made_safe(self, title: str, name: str) -> None:
        [row] = valid_rows(item(title=title), "m.jsonl", name="{title}/{source_id}.{language}.vtt")
        assert row.path == f"{name}/a1.es.vtt"
        paths.safe(row.path)
        assert row.meta["title"] == title

    def test_long_title_leaves_room_for_the_rest_of_the_name(self) -> None:
        [row] = valid_rows(
            item(title="x" * 300, show="s"), "m.jsonl", name="{show}/{title}.{key}.vtt"
        )
        folder, _, name = row.path.partition("/")
        assert folder == "s"
        assert len(name) == paths.MAX_PART
        assert name.endswith("x.mux_a1_es.vtt")

    def test_slash_of_an_id_makes_no_folder(self) -> None:
        rows = valid_rows("asset_id,to_language_code\na/b,es\n../../b,es\n")
        assert [row.path for row in rows] == ["mux/a_b.es.vtt", "mux/.._.._b.es.vtt"]
        [row] = valid_rows("asset_id,to_language_code\nabcde/fghij,es\n")
        assert row.path == "mux/abcde_fghij.es.vtt"

    @pytest.mark.parametrize("suffix", [".srt", ".TTML", ".ass"])
    def test_name_of_another_caption_format_is_refused(self, suffix: str) -> None:
        with pytest.raises(UsageError, match=r"^--name: .* the file is WebVTT, not"):
            read("m.csv", ManifestOptions(name=f"{{key}}{suffix}"), COLUMNS)
        [problem] = problems(item(name=f"x{suffix}"), "m.jsonl")
        assert problem.endswith(f": the file is WebVTT, not {suffix[1:].upper()}")

    @given(
        st.lists(
            st.one_of(
                st.text("ab.-_ :\\/\x00cCoOnN1", max_size=8),
                st.sampled_from(["..", ".", "", "nul", "CON", "results.jsonl", ".batchcap", "mux"]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def test_safe_path_stays_below_the_output_folder(self, parts: list[str]) -> None:
        path = "/".join(parts)
        try:
            paths.safe(path)
        except InvalidValue:
            return
        assert (
            paths._error(path) == ""
        )  # The fast path accepts nothing that the general one refuses.
        assert os.path.normpath(path) == path
        assert path.split("/")[0] not in {"", "..", ".batchcap"}
        assert "\0" not in path


# Files


@pytest.mark.usefixtures("folder")
class TestCsv:
    def test_bom_crlf_and_blank_lines_are_accepted(self) -> None:
        rows = valid_rows(b"\xef\xbb\xbfasset_id,to_language_code\r\n\r\na1,es\r\n,\r\na2,ja\r\n")
        assert [(row.source_id, row.origin) for row in rows] == [
            ("a1", "m.csv:3"),
            ("a2", "m.csv:5"),
        ]

    def test_header_is_stripped_and_known_columns_in_any_case(self) -> None:
        [row] = valid_rows("Asset_ID , To_Language_Code,Title \na1, es,T\n")
        assert (row.source_id, row.language, row.meta) == ("a1", "es", {"Title": "T"})

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    def test_delimiter_is_detected(self, delimiter: str) -> None:
        content = 'asset_id,to_language_code\na1,"es;ja"\n'.replace(",", delimiter)
        assert [row.language for row in valid_rows(content)] == ["es", "ja"]

    def test_tsv_file_is_read(self) -> None:
        assert valid_rows("asset_id\tto_language_code\na1\tes;ja\n", "m.tsv")[1].language == "ja"

    def test_comma_wins_over_semicolon(self) -> None:
        [row] = valid_rows("asset_id,to_language_code,a;b\na1,es,x\n")
        assert row.meta == {"a;b": "x"}

    def test_quoted_newlines_keep_the_line_numbers(self) -> None:
        content = 'asset_id,to_language_code,note\na1,es,"one\ntwo\r\nthree"\na2,xxxx,\n'
        row, bad = read_all(content)
        assert isinstance(row, Row)
        assert (row.origin, row.meta["note"]) == ("m.csv:2", "one\ntwo\r\nthree")
        assert isinstance(bad, InvalidRow)
        assert bad.line == 5

    def test_other_line_separators_are_part_of_the_cell(self) -> None:
        [row] = valid_rows("asset_id,to_language_code,note\na1,es,a\u2028b\x0bc\x85d\n")
        assert row.meta["note"] == "a\u2028b\x0bc\x85d"

    def test_missing_header_is_a_problem(self) -> None:
        assert problems("a1,es\na2,es\n") == [
            "m.csv:1: no header: 'a1,es' names none of "
            "asset_id, video_translate_id, video_translation_id"
        ]

    def test_header_that_repeats_a_column_is_a_problem(self) -> None:
        assert problems("asset_id,title,Asset_id,title\na1,,,\n") == [
            "m.csv:1: 'asset_id', 'title': the header names this column twice"
        ]

    @pytest.mark.parametrize("content", ["", "\n\n  \r\n", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("source", ["m.csv", "m.json", "m.jsonl", "m"])
    def test_empty_file_is_a_problem(self, content: str, source: str) -> None:
        assert problems(content, source) == [f"{source}:1: the file is empty"]

    @pytest.mark.parametrize("content", ["asset_id", "asset_id\n", "asset_id,b\n\n,\n"])
    def test_header_without_rows_is_a_problem(self, content: str) -> None:
        assert problems(content, to=("es",)) == ["m.csv:1: a header and no rows"]

    def test_row_with_more_cells_than_the_header_is_a_problem(self) -> None:
        assert problems("asset_id,to_language_code\na1,es\na2,es,x\na3,es\n") == [
            "m.csv:3: 3 cells, but the header has 2 columns"
        ]

    def test_row_with_fewer_cells_than_the_header_is_accepted(self) -> None:
        assert valid_rows("asset_id,to_language_code,title\na1,es\n")[0].meta == {}

    def test_column_without_a_name_is_a_problem_only_with_a_value(self) -> None:
        content = "asset_id,to_language_code,\na1,es,\na2,es,x\n"
        assert problems(content) == ["m.csv:3: 'x': the header has no name for this column"]

    def test_csv_not_in_utf8_reports_each_line(self) -> None:
        content = "asset_id,to_language_code,t\na1,es,Mu\xf1oz\na2,es,ok\na3,es,\xe9\n".encode(
            "cp1252"
        )
        assert problems(content) == [
            "m.csv:2: not UTF-8 (byte 0xf1); name the file's encoding with --encoding, "
            "such as --encoding cp1252",
            "m.csv:4: not UTF-8 (byte 0xe9); name the file's encoding with --encoding, "
            "such as --encoding cp1252",
        ]
        assert all(row.is_whole_file for row in read_all(content) if isinstance(row, InvalidRow))
        rows = valid_rows(content, encoding="cp1252")
        assert rows[0].meta == {"t": "Mu\xf1oz"}

    def test_invalid_utf8_in_a_quoted_newline_is_reported_with_its_line(self) -> None:
        [problem] = problems(b'asset_id,to_language_code,t\na1,es,"x\ny\xff\nz"\na2,es,\n')
        assert problem.startswith("m.csv:3: not UTF-8 (byte 0xff)")

    def test_utf16_is_read_with_its_encoding_only(self) -> None:
        content = "asset_id,to_language_code\na1,es\n".encode("utf-16")
        [problem] = problems(content)
        assert problem == (
            "m.csv:1: not UTF-8: the file begins with the byte order mark of UTF-16; "
            "read it with --encoding utf-16"
        )
        assert valid_rows(content, encoding="utf-16")[0].source_id == "a1"
        little = "\ufeffasset_id,to_language_code\na1,es\n".encode("utf-16-le")
        assert valid_rows(little, encoding="utf-16-le")[0].source_id == "a1"

    def test_utf16_cut_in_a_character_is_reported_with_its_line(self) -> None:
        content = "asset_id,to_language_code\na1,es\n".encode("utf-16")[:-1]
        [problem] = problems(content, encoding="utf-16")
        assert problem.startswith("m.csv:2: not UTF-16 (byte 0x0a)")

    def test_nul_byte_is_reported_with_its_line(self) -> None:
        assert problems("asset_id,to_language_code\na1,es\na\0,es\na3,es\n") == [
            "m.csv:3: a NUL byte (in UTF-16 text? then --encoding utf-16 reads it)"
        ]

    def test_field_of_a_megabyte_is_a_problem(self) -> None:
        content = f"asset_id,to_language_code,t\na1,es,{'x' * 1_000_000}\na2,es,\na3,xxxx,\n"
        assert problems(content)[0] == (
            f"m.csv:2: a field of more than {MAX_FIELD:,} characters, "
            "or a quote that is never closed"
        )
        assert problems(content)[1].startswith("m.csv:4: to_language_code")

    def test_line_without_end_is_a_problem(self) -> None:
        content = f"asset_id,to_language_code,t\na1,es,{'x' * 3 * MAX_LINE}\na2,xxxx,\n"
        first, second = problems(content)
        assert first == f"m.csv:2: a line of more than {MAX_LINE:,} characters"
        assert second.startswith("m.csv:3: to_language_code")

    def test_quote_that_is_never_closed_is_reported_with_its_line(self) -> None:
        assert problems('asset_id,to_language_code\na1,es\na2,"es\na3,es\n') == [
            "m.csv:3: a quote that is never closed"
        ]

    def test_stray_quote_is_a_problem(self) -> None:
        [problem] = problems('asset_id,to_language_code\n"a"1,es\na2,es\n')
        assert problem.startswith("m.csv:2: broken CSV: ")


@pytest.mark.usefixtures("folder")
class TestJson:
    def test_array_items_have_their_lines(self) -> None:
        content = '[\n  {"asset_id": "a1",\n   "to_language_code": "es"},\n\n {"asset_id": "a2"}]'
        rows = valid_rows(content, "m.json", to=("ja",))
        assert [(row.key, row.origin) for row in rows] == [
            ("mux:a1:es", "m.json:2"),
            ("mux:a2:ja", "m.json:5"),
        ]

    def test_equal_items_have_their_own_lines(self) -> None:
        content = '[\n{"asset_id": "a"},\n{"asset_id": "a"},\n1,\n1]'
        rows = read_all(content, "m.json", to=("es",))
        assert [row.origin for row in rows] == [f"m.json:{line}" for line in (2, 3, 4, 5)]

    def test_items_on_one_line_are_numbered(self) -> None:
        assert problems('[{"asset_id": "a"}, {"asset_id": 1}, 7]', "m.json", to=("es",)) == [
            "m.json:1: item 2: asset_id: ids are strings: put the number 1 in quotes",
            "m.json:1: item 3: expected an object, got the number 7",
        ]

    def test_defaults_stand_in_for_what_is_absent_or_empty(self) -> None:
        content = {
            "defaults": {"to_language_code": "es", "title": "D"},
            "items": [{"asset_id": "a1"}, {"asset_id": "a2", "to_language_code": "", "title": "T"}],
        }
        rows = valid_rows(orjson.dumps(content), "m.json")
        assert [(row.language, row.meta["title"]) for row in rows] == [("es", "D"), ("es", "T")]

    def test_defaults_after_the_items_apply(self) -> None:
        content = '{\n"items": [\n{"asset_id": "a"}],\n"defaults": {"to_language_code": "es"}}'
        assert [(row.language, row.origin) for row in valid_rows(content, "m.json")] == [
            ("es", "m.json:3")
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[]", "there are no items"),
            ('{"items": []}', "there are no items"),
            ("{}", "expected a list, or an object with items"),
            ('{"items": {}}', "items: expected a list"),
            ('{"default": {}, "items": [1]}', "'default': unknown beside defaults and items"),
            ('{"defaults": [], "items": [1]}', "defaults: expected an object, got a list"),
        ],
    )
    def test_document_that_is_no_manifest_is_a_problem(self, content: str, message: str) -> None:
        assert problems(content, "m.json") == [f"m.json:1: {message}"]

    @pytest.mark.parametrize("content", ["7", '"x"', "null", "true"])
    def test_document_without_list_or_object_is_a_problem(self, content: str) -> None:
        [problem] = problems(content, "m.json")
        assert problem.startswith("m.json:1: expected a list, or an object with items")

    def test_broken_json_is_reported_with_line_and_column(self) -> None:
        [problem] = problems('[\n{"asset_id": "a1"},\n{"asset_id" "a2"}\n]', "m.json")
        assert problem.startswith("m.json:3: broken JSON: ")
        assert problem.endswith("(column 13)")

    def test_lines_of_json_in_a_json_file_get_a_hint(self) -> None:
        [problem] = problems('{"items": []}\n{"asset_id": "a2"}\n', "m.json")
        assert problem.startswith("m.json:2: broken JSON: ")
        assert problem.endswith("(one object a line? name the file .jsonl)")

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    @pytest.mark.parametrize("closed", [True, False])
    def test_json_nested_100_000_levels_deep_is_a_problem(self, opening: str, closed: bool) -> None:
        deep = opening * 100_000 + "1" + ("]" if opening == "[" else "}") * 100_000 * closed
        content = '[{"asset_id": "a1"},\n{"asset_id": "a2", "x": ' + deep + "}]"
        [problem] = problems(content, "m.json", to=("es",))
        assert problem.startswith("m.json:2: broken JSON: ")
        assert problems(deep, "m.json")[0].startswith("m.json:1: ")
        lines = problems(item() + '{"asset_id": "a1", "x": ' + deep + "}\n" + item(), "m.jsonl")
        assert [line.split(": ")[0:2] for line in lines] == [["m.jsonl:2", "broken JSON"]]

    def test_nul_byte_and_invalid_utf8_are_reported_with_their_lines(self) -> None:
        assert problems('[\n{"asset_id": "a\0"}]', "m.json")[0].startswith("m.json:2: a NUL byte")
        [problem] = problems(b'[\n\n{"asset_id": "a\xff"}]', "m.json")
        assert problem.startswith("m.json:3: not UTF-8 (byte 0xff)")

    def test_lone_surrogate_is_a_problem(self) -> None:
        [problem] = problems('[\n{"asset_id": "a\\ud800"}]', "m.json")
        assert problem.startswith("m.json:2: broken JSON: ")
        [problem] = problems(item() + '{"asset_id": "a\\ud800"}\n', "m.jsonl")
        assert problem.startswith("m.jsonl:2: broken JSON: ")

    def test_json_in_another_encoding_is_read(self) -> None:
        content = '[{"asset_id": "a1", "t": "\xf1"}]'.encode("utf-16")
        assert valid_rows(content, "m.json", encoding="utf-16", to=("es",))[0].meta == {"t": "\xf1"}

    def test_one_line_of_many_megabytes_is_fine(self) -> None:
        content = "[" + ",".join([item(x="x" * 100_000).strip()] * 50) + "]"
        assert len(content) > MAX_LINE
        assert len(valid_rows(content, "m")) == 50


@pytest.mark.usefixtures("folder")
class TestJsonLines:
    def test_blank_lines_are_skipped_and_counted(self) -> None:
        rows = valid_rows("\n" + item() + " \r\n" + item(asset_id="a2"), "m.jsonl")
        assert [row.origin for row in rows] == ["m.jsonl:2", "m.jsonl:4"]

    def test_broken_line_does_not_end_the_reading(self) -> None:
        content = item() + '{"asset_id": "a2"\n' + "[1]\n" + item() + '{"asset_id": "a\xe9\n'
        assert [line.split(": ", 1)[0] for line in problems(content, "m.ndjson")] == [
            "m.ndjson:2",
            "m.ndjson:3",
            "m.ndjson:5",
        ]
        assert problems(content, "m.ndjson")[0] == (
            "m.ndjson:2: broken JSON: unexpected end of data (character 18)"
        )
        assert problems(content, "m.ndjson")[1] == "m.ndjson:3: expected an object, got a list"

    def test_invalid_utf8_and_nul_byte_end_no_reading(self) -> None:
        content = item().encode() + b'{"asset_id": "\xe9"}\n{"asset_id": "\0"}\n'
        first, second = problems(content, "m.jsonl")
        assert first.startswith("m.jsonl:2: not UTF-8 (byte 0xe9)")
        assert second.startswith("m.jsonl:3: a NUL byte")

    def test_field_of_a_megabyte_is_a_problem(self) -> None:
        content = item() + item(t="x" * 1_000_000) + item(t=["y"] * 200_000)
        assert problems(content, "m.jsonl") == [
            f"m.jsonl:{line}: 't': more than {MAX_FIELD:,} characters" for line in (2, 3)
        ]

    def test_line_without_end_is_a_problem(self) -> None:
        content = item() + item(t="x" * 3 * MAX_LINE) + item(asset_id=1)
        first, second = problems(content, "m.jsonl")
        assert first == f"m.jsonl:2: a line of more than {MAX_LINE:,} characters"
        assert second.startswith("m.jsonl:3: asset_id")


# Batches

ID = "0123456789abcdef"
CELLS = {
    "asset_id": [
        *["A" * 9, "x" * 99, ID, ID.upper(), "x" * 100, "a b c d e f", "\u00fc" * 9, ""],
        *["results", "batchcap", "conout"],
    ],
    "video_translate_id": [ID, "tr_0123456789-", "tr.0123456789", "", "", ""],
    "track_id": [ID, "t" * 30, "t1", "", "t" * 300],
    "to_language_code": ["es", "es", "pt-BR", "es;ja", "con", "", "xxxx"],
    "provider": ["mux", "mux", "heygen", "vimeo", ""],
    "language": ["Deutsch", "es", "", "a\tb"],
    "from_language": ["en", "", "English"],
    "upload_to_mux": ["true", "0", "", "maybe"],
    "never_translate": ["Acme;Mux", "", "<b>"],
    "caption_type": ["vtt", "", "srt"],
    "key": [ID, "mine", ""],
    "name": ["own/{language}.vtt", ""],
    "title": ["T", 'a "quoted", word', "two\nlines", "\u65e5\u672c", ""],
}
NAMES = [
    *["{provider}/{source_id}.{language}.vtt", "{source_id}$.vtt", "{source_id}.jsonl", "{key}"],
    *["{title}/{source_id}{language}.vtt", "{track_id}-{source_id}-{source_id}.vtt", "one.vtt"],
    *["{language}/{source_id}.vtt", "\u00fc" * 100 + "{source_id}", ".{source_id}/x"],
]


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    """Records with the same columns."""
    columns = draw(st.sets(st.sampled_from(sorted(CELLS.keys() - {"asset_id"})), max_size=5))
    own = {name: draw(st.lists(st.sampled_from(CELLS[name]), min_size=1)) for name in columns}
    cells = {"asset_id": draw(st.lists(st.sampled_from(CELLS["asset_id"]), min_size=1)), **own}
    return draw(
        st.lists(
            st.fixed_dictionaries({name: st.sampled_from(some) for name, some in cells.items()}),
            min_size=1,
            max_size=5,
        )
    )


def without_place(row: Row | InvalidRow) -> Row | InvalidRow:
    """Return the row without file and line."""
    if isinstance(row, InvalidRow):
        return msgspec.structs.replace(row, origin="", line=0)
    return msgspec.structs.replace(row, origin="")


def as_file(table: list[dict[str, str]], source: str) -> str:
    """The records as CSV or JSONL."""
    if source.endswith("jsonl"):
        return "".join(
            json.dumps({name: record[name] for name in table[0]}) + "\n" for record in table
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, table[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


@pytest.mark.usefixtures("folder")
class TestTables:
    @given(
        table=tables(),
        name=st.sampled_from(NAMES),
        to=st.sampled_from([(), ("fr",), ("fr", "de")]),
        from_language=st.sampled_from([None, "en"]),
    )
    def test_csv_and_json_lines_give_the_same_rows(
        self, table: list[dict[str, str]], **options: Any
    ) -> None:
        assume(all(any(record.values()) for record in table))
        # Without a column of languages, a table is one problem, and lines of JSON one each.
        assume("to_language_code" in table[0] or options["to"])
        # The same is true of a field of --name that a table does not have.
        assume("{title}" not in options["name"] or table[0].keys() & {"title", "name"})
        first, second = (
            [without_place(row) for row in read_all(as_file(table, source), source, **options)]
            for source in ("m.csv", "m.jsonl")
        )
        assert first == second

    def test_record_far_down_that_is_bad_is_reported_with_its_line(self) -> None:
        lines = [f"{n:032x},es" for n in range(3000)]
        lines[2000] = "short,xxxx"
        lines[2500] = '"unclosed'
        content = "asset_id,to_language_code\n" + "\n".join(lines)
        rows = read_all(content)
        assert [row.line for row in rows if isinstance(row, InvalidRow)] == [2002, 2502]
        assert [row.origin for row in rows if isinstance(row, Row)] == [
            f"m.csv:{n + 2}" for n in range(2500) if n != 2000
        ]

    def test_records_after_a_quoted_newline_at_the_end_of_a_batch_are_read(self) -> None:
        lines = [f"{n:032x},es,t" for n in range(1200)]
        for at in (510, 511, 512, 1022):
            lines[at] = f'{at:032x},es,"a\nb"'
        rows = valid_rows("asset_id,to_language_code,title\n" + "\n".join(lines))
        assert [row.source_id for row in rows] == [f"{n:032x}" for n in range(1200)]
        assert rows[-1].origin == "m.csv:1205"


# Fingerprints


@pytest.mark.usefixtures("folder")
class TestFingerprint:
    def test_fingerprint_of_other_bytes_or_options_differs(self) -> None:
        Path("m.csv").write_text("asset_id\na1\n")
        same = fingerprint("m.csv", ManifestOptions(to=("es",)))
        assert same is not None
        assert fingerprint("m.csv", ManifestOptions(to=("es",))) == same
        changes: list[dict[str, Any]] = [
            *({"to": ("ja",)}, {"from_language": "en"}, {"name": "x"}, {"encoding": "utf-16"})
        ]
        for change in changes:
            assert fingerprint("m.csv", ManifestOptions(**{"to": ("es",), **change})) != same
        Path("m.csv").write_text("asset_id\na2\n")
        assert fingerprint("m.csv", ManifestOptions(to=("es",))) != same

    def test_fingerprint_of_a_stream_is_none(self) -> None:
        reader, writer = os.pipe()
        for source in ("-", f"/dev/fd/{reader}", "nowhere.csv", ".", "a\0b"):
            assert fingerprint(source, ManifestOptions()) is None
        os.close(reader)
        os.close(writer)


# Choosing, opening, streaming


@pytest.mark.usefixtures("folder")
class TestSources:
    @pytest.mark.parametrize("source", ["-", "m", "m.txt"])
    @pytest.mark.parametrize(
        "content",
        [
            "asset_id,to_language_code\na1,es\n",
            item(),
            "\n" + item() + item(asset_id="a2"),
            item() + "{broken}\n",
            '[\n{"asset_id": "a1", "to_language_code": "es"}]',
            '{"items": [{"asset_id": "a1", "to_language_code": "es"}]}',
            '\n{\n"items":\n[{"asset_id": "a1", "to_language_code": "es"}]}',
            '{"defaults": {"to_language_code": "es"},\n"items": [{"asset_id": "a1"}]}',
        ],
    )
    def test_format_without_an_extension_is_guessed_from_the_content(
        self, source: str, content: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin = io.BytesIO(content.encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        if source != "-":
            Path(source).write_text(content)
        first = next(iter(read(source, ManifestOptions(), COLUMNS)))
        assert isinstance(first, Row)
        assert first.key == "mux:a1:es"
        assert first.origin.startswith(f"{source}:")
        assert not stdin.closed

    def test_format_with_an_extension_is_that_of_the_extension(self) -> None:
        assert problems("[]", "m.CSV")[0].startswith("m.CSV:1: no header")

    @pytest.mark.parametrize("source", ["nowhere.csv", ".", "sub/nowhere.csv", "x" * 300])
    def test_file_that_cannot_be_read_is_a_usage_error(self, source: str) -> None:
        with pytest.raises(UsageError, match=r": (No such file|Is a directory|File name too long)"):
            list(read(source, ManifestOptions(), COLUMNS))

    def test_source_with_a_nul_is_refused(self) -> None:
        with pytest.raises(UsageError):
            list(read("a\0b", ManifestOptions(), COLUMNS))

    @pytest.mark.parametrize(
        "encoding", ["utf-9", "", "hex", "a\0b", "undefined", "idna", "punycode"]
    )
    def test_encoding_that_is_unknown_is_refused(self, encoding: str) -> None:
        with pytest.raises(UsageError, match=r"^--encoding: .* is no encoding of text files$"):
            read("m.csv", ManifestOptions(encoding=encoding), COLUMNS)

    @pytest.mark.parametrize("options", [{"to": ("xxxx",)}, {"from_language": "English"}])
    def test_language_option_that_is_wrong_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=r"^--(to|from): .* is not a language tag"):
            read("m.csv", ManifestOptions(**options), COLUMNS)

    def test_rows_come_before_the_file_is_read_to_its_end(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, b"asset_id,to_language_code\n" + b"a1,es\n" * 6000)
        rows = read(f"/dev/fd/{reader}", ManifestOptions(), COLUMNS)
        assert isinstance(next(rows), Row)
        os.close(writer)
        assert len(list(rows)) == 5999
        os.close(reader)

    @pytest.mark.parametrize("source", ["m.csv", "m.jsonl"])
    def test_memory_does_not_grow_with_the_file(self, source: str) -> None:
        line = "a1,es\n" if source == "m.csv" else item()
        head = "asset_id,to_language_code\n" if source == "m.csv" else ""
        Path(source).write_text(head + line * 15_000)
        tracemalloc.start()
        try:
            count = sum(1 for _ in read(source, ManifestOptions(), COLUMNS))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count == 15_000
        assert peak < 2_000_000

    @given(data=st.binary(max_size=200), suffix=st.sampled_from(["csv", "json", "jsonl", "x"]))
    def test_file_of_any_bytes_gives_rows_or_problems(self, data: bytes, suffix: str) -> None:
        rows = read_all(data, f"fuzz.{suffix}")
        assert all(isinstance(row, Row | InvalidRow) for row in rows)
        assert rows

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["asset_id", "to_language_code", "name", "key", "items", "x"]),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_json_of_any_value_gives_rows_or_problems(self, value: Any) -> None:
        for source in ("fuzz.json", "fuzz.jsonl", "fuzz"):
            assert read_all(orjson.dumps(value), source, to=("es",), name="{x}{key}")


@pytest.mark.parametrize(
    ("file", "rows"),
    [("demo.csv", 2100), ("mux.csv", 5), ("heygen.csv", 3), ("items.json", 6), ("rows.jsonl", 4)],
)
def test_samples_read_without_a_problem(file: str, rows: int) -> None:
    records = list(read(str(SAMPLES / file), ManifestOptions(), COLUMNS))
    assert [row for row in records if isinstance(row, InvalidRow)] == []
    assert len(records) == rows
    assert len({row.path for row in records if isinstance(row, Row)}) == rows
    assert len({row.key for row in records}) == rows


@given(st.text())
def test_shown_text_is_short_and_printable(text: str) -> None:
    assert quote(text).isprintable()
    assert len(quote(text)) <= MAX_QUOTED
