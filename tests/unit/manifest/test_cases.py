"""Manifests from practice (tests/cases/manifests), and what a user expects of each."""

from __future__ import annotations

import encodings.aliases
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow, Row
from batchcap.manifest import ManifestOptions, read
from tests.harness.rows import COLUMNS

CASES = Path(__file__).parents[2] / "cases" / "manifests"
FIRST, SECOND = "DS00Spx1CV902MCtPj5WknGlR102V5HFkDe", "aB77Spx1CV902MCtPj5WknGlR102V5HFkDf"
VIDEO, OTHER_VIDEO = "6vr40c621282471bb03cd9n61acf7faa", "aaf7fca16n9dc30bb174282126c04rv6"


def rows_and_problems(source: str | Path, **options: Any) -> tuple[list[Row], list[str]]:
    """The rows, and the problems as `line: message`."""
    rows = list(read(str(source), ManifestOptions(**options), COLUMNS))
    return (
        [row for row in rows if isinstance(row, Row)],
        [f"{row.line}: {row.message}" for row in rows if isinstance(row, InvalidRow)],
    )


@pytest.mark.parametrize(
    ("file", "ids"),
    [
        ("c01-sep-semicolon.csv", [FIRST]),
        ("c06-bom-crlf.csv", [FIRST]),
        ("c09-trailing-commas-rows.csv", [FIRST, SECOND]),
        ("c11-hundred-long-comma-rows.csv", [FIRST]),
        ("c19-double-bom.csv", [FIRST]),
        ("c33-blank-first-lines.csv", [FIRST]),
        ("c34-short-rows.csv", [FIRST]),
        ("c61-line-sep.csv", [FIRST]),
        ("d09-url-id.csv", [VIDEO]),
        ("d11-provider-caps.csv", [VIDEO]),
    ],
)
def test_case_that_is_a_manifest_is_read(file: str, ids: list[str]) -> None:
    rows, problems = rows_and_problems(CASES / file)
    assert problems == []
    assert [row.source_id for row in rows] == ids


@pytest.mark.parametrize("file", ["c38-utf16-nobom.csv", "e5-utf16-nobom.json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_case_in_utf16_without_a_mark_is_read(file: str, encoding: str) -> None:
    rows, problems = rows_and_problems(CASES / file, encoding=encoding)
    assert problems == []
    assert [row.source_id for row in rows] == [FIRST]


def test_case_of_ids_alone_is_read_with_provider_and_languages() -> None:
    rows, problems = rows_and_problems(CASES / "d06-only-ids.txt", provider="heygen")
    assert problems == []
    assert [row.source_id for row in rows] == [VIDEO, OTHER_VIDEO]
    assert [row.origin.rpartition(":")[2] for row in rows] == ["1", "2"]
    rows, problems = rows_and_problems(CASES / "d06-only-ids.txt", provider="mux", to=("es", "ja"))
    assert problems == []
    assert [row.key for row in rows][:2] == [f"mux:{VIDEO}:es", f"mux:{VIDEO}:ja"]


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("c12-smart-quotes.csv", "2: asset_id: '\u201c{0}\u201d' holds the quotation mark \u201c"),
        ("c18-zwsp-in-id.csv", "2: asset_id: '{0}\\u200b' holds the invisible character U+200B"),
        (
            "c20-concatenated.csv",
            "3: a header in the middle of the file (are these two files?)",
        ),
        (
            "c41-bool-wahr.csv",
            "2: upload_to_mux: expected true or false (or yes, no, 1, 0), got 'WAHR'",
        ),
        (
            "c42-excel-text-formula.csv",
            "2: asset_id: '=\"{0}\"' is a formula of a spreadsheet, not an id",
        ),
        (
            "c44-excel-sci.csv",
            "2: video_translate_id: '6.12E+31' is a number that a spreadsheet has rounded; "
            "format the column as text",
        ),
        (
            "c66-totals-row.csv",
            "3: provider: missing, and the row has none of asset_id, video_translate_id, "
            "video_translation_id (a row of totals?)",
        ),
        (
            "d03.csv.gz",
            "1: the file is compressed (gzip); decompress it first, "
            "such as: gzip -dc FILE | batchcap run -",
        ),
        (
            "d24-lang-in-mux.csv",
            "1: to_language_code: missing, and there is no --to; the target languages go into "
            "to_language_code, not 'language'; the first line is 'asset_id,language'",
        ),
        (
            "d06-only-ids.txt",
            "1: no header: '{1}' names none of asset_id, video_translate_id, "
            "video_translation_id (a list of ids? then --provider mux or heygen)",
        ),
    ],
)
def test_case_that_is_wrong_is_one_problem_with_its_line(file: str, problem: str) -> None:
    assert rows_and_problems(CASES / file)[1] == [problem.format(FIRST, VIDEO)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_text(content: str | bytes, source: str = "m.csv", **options: Any) -> list[str]:
    """Return the problems of a manifest with this content."""
    Path(source).write_bytes(content.encode() if isinstance(content, str) else content)
    return rows_and_problems(source, **options)[1]


@pytest.mark.usefixtures("folder")
class TestKin:
    """Variants of each case."""

    @pytest.mark.parametrize("line", ["sep=,", '"sep=;"', "SEP=\t", "sep=|", "sep=;;;", "\nsep=;"])
    def test_separator_line_names_the_delimiter(self, line: str) -> None:
        delimiter = line.strip('"\n')[4:5]
        table = f"{line}\r\nasset_id{delimiter}to_language_code\r\n{FIRST}{delimiter}es\r\n"
        assert of_text(table) == []

    @pytest.mark.parametrize("id_", ["'a1", "a1'", "\u00aba1\u00bb", "`a1`", "\u300ca1\u300d"])
    def test_id_in_quotation_marks_is_refused(self, id_: str) -> None:
        [problem] = of_text(f"asset_id,to_language_code\n{id_},es\n")
        assert problem.startswith("2: asset_id: ")
        assert " holds the quotation mark " in problem

    @pytest.mark.parametrize("code", [0xAD, 0x200D, 0x202E, 0x2060, 0xFEFF, 0x3164, 0x2800, 0xFE0F])
    def test_id_with_an_invisible_character_is_refused(self, code: int) -> None:
        [problem] = of_text(f"asset_id,to_language_code\na{chr(code)}1,es\n")
        assert problem.endswith(f"holds the invisible character U+{code:04X}")
        assert problem.isprintable()

    @pytest.mark.parametrize("id_", ["6.12E+31", '"6,12E+31"', "1e+10", "-1.5e-7"])
    def test_id_that_a_spreadsheet_rounded_is_refused(self, id_: str) -> None:
        [problem] = of_text(f"asset_id,to_language_code\n{id_},es\n")
        assert "is a number that a spreadsheet has rounded" in problem

    @pytest.mark.parametrize("id_", ["1e10", "12345678901234567890", "a-b_c.d", "a/b", "6E5F"])
    def test_id_that_is_odd_is_read(self, id_: str) -> None:
        assert of_text(f"asset_id,to_language_code\n{id_},es\n") == []

    def test_track_id_is_checked_like_an_id(self) -> None:
        [problem] = of_text("asset_id,track_id,to_language_code\na1,\u201ct1\u201d,es\n")
        assert problem.startswith("2: track_id: ")

    def test_key_of_the_user_may_hold_quotes(self) -> None:
        assert of_text("asset_id,key,to_language_code\na1,O'Brien \u2013 1,es\n") == []

    def test_delimiter_is_the_one_that_sets_the_ids_apart(self) -> None:
        assert of_text('asset_id;to_language_code;"a, b"\na1;es;x\n') == []
        assert of_text("title, or not\tasset_id\tto_language_code\nx\ta1\tes\n") == []
        assert of_text("asset_id|to_language_code\na1|es\n") == []

    def test_lines_of_any_separators_above_the_header_are_skipped(self) -> None:
        assert of_text(f",,\n;;\n\t\nsep=;\nasset_id;to_language_code\n{FIRST};es\n") == []

    def test_json_lines_joined_of_files_with_marks_are_read(self) -> None:
        line = '\ufeff{"asset_id": "a1", "to_language_code": "es"}\n'
        assert of_text(line + line.replace("a1", "a2"), "m.jsonl") == []

    def test_header_of_another_table_ends_the_reading(self) -> None:
        table = "asset_id,to_language_code\na1,es\nvideo_translate_id,asset_id\nv1,a2\n"
        assert of_text(table) == [
            "3: a header in the middle of the file (are these two files?); "
            "what follows it was not read"
        ]

    @pytest.mark.parametrize(
        ("magic", "file_type"),
        [
            (b"PK\x03\x04" + bytes(26) + b"mimetypeapplication", "a document of LibreOffice"),
            (b"PK\x03\x04" + bytes(26) + b"videos.csv", "a zip archive"),
            (b"BZh91AY&SY", "compressed (bzip2)"),
            (b"\xfd7zXZ\x00", "compressed (xz)"),
            (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
            (b"%PDF-1.7", "a PDF"),
        ],
    )
    @pytest.mark.parametrize("source", ["m.csv", "m.json", "m.xlsx", "m"])
    def test_file_that_is_not_text_is_reported_with_its_type(
        self, magic: bytes, file_type: str, source: str
    ) -> None:
        [problem] = of_text(magic + b"\x00\xff" * 100, source)
        assert problem.startswith(f"1: the file is {file_type}")

    @pytest.mark.parametrize("name", ["Mux", "MUX", " mux "])
    def test_provider_in_any_case_is_known(self, name: str) -> None:
        assert of_text(f'provider,asset_id,to_language_code\n"{name}",a1,es\n') == []

    @pytest.mark.parametrize(
        ("column", "url"),
        [
            (
                "asset_id",
                f"https://dashboard.mux.com/organizations/o1/environments/e1/video/assets/{FIRST}"
                "/monitor?range=1#x",
            ),
            ("video_translate_id", f"https://app.heygen.com/videos/{VIDEO}?from=mail"),
            ("video_translate_id", f"https://app.heygen.com/translate/result/{VIDEO}/"),
            ("video_translate_id", f"app.heygen.com/videos/{VIDEO}"),
            ("asset_id", f"https://api.mux.com/video/v1/assets/{FIRST}"),
        ],
    )
    def test_id_in_a_url_is_taken_and_reported(self, column: str, url: str) -> None:
        Path("m.csv").write_text(f"{column}\n{url}\n{url.replace(FIRST, SECOND)}\n")
        notes: list[str] = []
        options = ManifestOptions(to=("es",))
        row, _ = read("m.csv", options, COLUMNS, notes.append)
        assert isinstance(row, Row)
        assert row.source_id in {FIRST, VIDEO}
        assert notes == [f"m.csv:2: {column}: the ids are taken from URLs"]

    @pytest.mark.parametrize(
        "url",
        [
            "https://stream.mux.com/p1.m3u8",
            "https://stream.mux.com/p1/text/t1.vtt",
            "player.mux.com/p1?metadata-video-title=x",
            "https://image.mux.com/p1/thumbnail.jpg",
        ],
    )
    def test_url_of_a_playback_id_is_refused_with_what_it_is(self, url: str) -> None:
        [problem] = of_text(f"asset_id,to_language_code\n{url},es\n")
        assert problem.startswith("2: asset_id: 'p1' is a playback id, not the id of the asset")

    @pytest.mark.parametrize(
        "url", ["https://x.example/a/b", "https://app.heygen.com/videos/translations", "x.com/1"]
    )
    def test_url_without_an_id_is_refused(self, url: str) -> None:
        [problem] = of_text(f"asset_id,to_language_code\n{url},es\n")
        assert problem.endswith("is a URL, and it is not clear which part of it is the id")

    @pytest.mark.parametrize(
        ("name", "column"),
        [
            *((name, "to_language_code") for name in ("lang", "Languages", "target_language")),
            *((name, "to_language_code") for name in ("to", "locale", "to_lang", "To Language")),
            *((name, "asset_id") for name in ("assetid", "Asset ID", "asset-id", "aset_id")),
            *((name, "from_language") for name in ("from_lang", "Source Language", "srcLang")),
            ("upload_tomux", "upload_to_mux"),
            ("Provider ID", None),
            ("title", None),
            ("names", None),
            ("language", None),
        ],
    )
    def test_column_that_is_nearly_known_is_one_problem(
        self, name: str, column: str | None
    ) -> None:
        others = [other for other in ("asset_id", "to_language_code") if other != column]
        header = ",".join([*others, name])
        in_csv = of_text(f"{header}\n" + "a1,es,x\n" * 100 * (len(others) == 2), to=("es",))
        items = json.dumps({**dict.fromkeys(others, "es"), name: "x"}) + "\n"
        in_json = of_text(items, "m.jsonl", to=("es",))
        if column is None:
            assert in_csv == in_json == []
            return
        rename = f"{name}={column}"
        problem = (
            f"1: '{name}' is probably {column}; rename it, or use --column '{rename}', "
            "or --extra-columns if it is a column of your own"
        )
        assert in_csv == [f"{problem}; the header is '{header}'"]
        assert in_json == [problem]

    def test_column_that_is_nearly_known_is_renamed_or_kept_on_request(self) -> None:
        table = "Asset ID;lang;title\na1;es;T\n"
        Path("m.csv").write_text(table)
        rows, problems = rows_and_problems(
            "m.csv", columns=("asset id=asset_id", " lang = to_language_code")
        )
        assert (problems, rows[0].key, rows[0].meta) == ([], "mux:a1:es", {"title": "T"})
        Path("m.jsonl").write_text('{"asset_id": "a1", "Asset ID": "x", "lang": "y"}\n')
        rows, problems = rows_and_problems("m.jsonl", extra_columns=True, to=("es",))
        assert (problems, rows[0].meta) == ([], {"Asset ID": "x", "lang": "y"})

    def test_column_of_the_label_is_named_if_the_ids_are_of_heygen(self) -> None:
        [problem] = of_text("video_translate_id,lang\nv1,es\n")
        assert problem.startswith("1: 'lang' is probably language; ")

    @pytest.mark.parametrize("pair", ["Asset ID", "=asset_id", "x=y", "asset_id=Asset ID"])
    def test_column_option_that_is_wrong_is_refused(self, pair: str) -> None:
        with pytest.raises(UsageError, match=r"--column: .* is not NAME=COLUMN"):
            read("m.csv", ManifestOptions(columns=(pair,)), COLUMNS)

    @pytest.mark.parametrize("source", ["m.csv", "m.jsonl"])
    def test_columns_of_the_user_are_named_once(self, source: str) -> None:
        records = [{"asset_id": "a1", "title": "T"}, {"asset_id": "a2", "show": "S", "title": "U"}]
        if source == "m.csv":
            Path(source).write_text("asset_id,title,show\na1,T,\na2,U,S\n")
        else:
            Path(source).write_text("".join(json.dumps(record) + "\n" for record in records))
        notes: list[str] = []
        assert len(list(read(source, ManifestOptions(to=("es",)), COLUMNS, notes.append))) == 2
        assert notes == [f"{source}: kept as your own columns: title, show"]

    def test_field_of_name_that_no_row_has_is_one_problem(self) -> None:
        table = "asset_id,title\n" + "a1,T\n" * 100
        assert of_text(table, name="{titel}.{language}.vtt", to=("es",)) == [
            "1: --name: there is no column 'titel' (is it 'title'?); "
            "the first line is 'asset_id,title'"
        ]

    @pytest.mark.parametrize("provider", ["", "mux"])
    def test_row_with_ids_of_both_providers_is_refused(self, provider: str) -> None:
        table = f"provider,asset_id,video_translate_id\n{provider},a1,v1\n"
        assert of_text(table, to=("es",)) == [
            "2: asset_id and video_translate_id: a row is of one provider; make two rows of it"
        ]

    def test_id_with_a_space_in_it_is_refused(self) -> None:
        assert of_text("asset_id\na1 a2\n", to=("es",)) == [
            "2: asset_id: 'a1 a2' holds a space, which no id has"
        ]

    def test_white_space_around_cells_does_not_count(self) -> None:
        row = " a1\t, es ;ja ,\u00a0k1 ,  , T \n"
        Path("m.csv").write_text(f"asset_id,to_language_code,key,track_id,title\n{row}")
        rows, problems = rows_and_problems("m.csv")
        assert problems == []
        assert [(r.key, r.source_id, r.params, r.meta) for r in rows] == [
            (f"k1:{tag}", "a1", {}, {"title": "T"}) for tag in ("es", "ja")
        ]
        assert of_text('{"asset_id": " a1 ", "to_language_code": "es"}', "m.jsonl") == []

    def test_target_that_is_the_source_language_is_refused(self) -> None:
        assert of_text("asset_id,from_language,to_language_code\na1,en,es;EN\n") == [
            "2: to_language_code: EN is the source language too"
        ]
        assert of_text("asset_id,to_language_code,upload_to_mux\na1,en,no\n", from_language="en")

    def test_tag_with_an_underscore_is_read_and_reported(self) -> None:
        Path("m.csv").write_text("asset_id,to_language_code\na1,pt_BR\na2,es_MX;ja\n")
        notes: list[str] = []
        rows = list(read("m.csv", ManifestOptions(), COLUMNS, notes.append))
        assert [row.language for row in rows] == ["pt-BR", "es-MX", "ja"]
        assert notes == ["m.csv:2: to_language_code: '_' in a language tag is read as '-'"]

    def test_tag_of_an_option_with_an_underscore_is_reported_once(self) -> None:
        Path("m.csv").write_text("asset_id\na1\na2\n")
        notes: list[str] = []
        options = ManifestOptions(to=("pt_BR", "es_MX"))
        rows = list(read("m.csv", options, COLUMNS, notes.append))
        assert [row.language for row in rows] == ["pt-BR", "es-MX"] * 2
        assert notes == ["m.csv:2: --to: '_' in a language tag is read as '-'"]

    def test_tags_with_odd_capitals_are_passed_on_and_reported_once(self) -> None:
        Path("m.csv").write_text("asset_id,to_language_code\na1,PT-br;JA\na2,zh-hans;es\n")
        notes: list[str] = []
        rows = list(read("m.csv", ManifestOptions(), COLUMNS, notes.append))
        assert [row.language for row in rows] == ["PT-br", "JA", "zh-hans", "es"]
        assert notes == [
            "m.csv:2: to_language_code: "
            "language tags are passed on with the capitals that they have"
        ]

    def test_list_without_languages_is_one_problem(self) -> None:
        [problem] = of_text("a1\na2\na3\n", provider="mux")
        assert problem == (
            "1: to_language_code: missing, and there is no --to; the first line is 'a1'"
        )

    def test_list_below_a_wrong_header_is_refused(self) -> None:
        [problem] = of_text("ids\na1\n", provider="mux", to=("es",))
        assert problem.startswith("1: no header: 'ids' names none of")

    def test_provider_option_that_is_unknown_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--provider: 'vimeo' is unknown"):
            read("m.csv", ManifestOptions(provider="vimeo"), COLUMNS)


def all_encodings() -> list[str]:
    return sorted({*encodings.aliases.aliases.values(), "utf_8_sig", "idna", "undefined", "mbcs"})


TABLE = f"asset_id,to_language_code\n{FIRST},es\n{SECOND},ja\n"


@pytest.mark.usefixtures("folder")
class TestEncodings:
    @pytest.mark.parametrize("is_stream", [False, True])
    @pytest.mark.parametrize("encoding", all_encodings())
    def test_encoding_of_any_name_gives_rows_or_an_error(
        self, encoding: str, is_stream: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        try:
            data = TABLE.encode(encoding)
        except (LookupError, UnicodeError):
            data = TABLE.encode()
        Path("m.csv").write_bytes(data)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        try:
            rows, problems = rows_and_problems("-" if is_stream else "m.csv", encoding=encoding)
        except UsageError as error:
            assert error.message.endswith("is no encoding of text files")
            with pytest.raises((LookupError, UnicodeError)):
                TABLE.encode(encoding).decode(encoding)
            return
        assert problems == []
        assert [row.source_id for row in rows] == [FIRST, SECOND]

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
    @pytest.mark.parametrize("encoding", all_encodings())
    def test_encoding_that_is_not_the_files_is_no_traceback(
        self, encoding: str, suffix: str
    ) -> None:
        data = "asset_id,to_language_code,t\na1,es,Mu\u00f1oz \u65e5\u672c\n".encode() + b"\xff\x80"
        try:
            of_text(data, f"m.{suffix}", encoding=encoding)
        except UsageError as error:
            assert error.message.startswith("--encoding: ")

    @pytest.mark.parametrize(
        ("mark", "written", "name"),
        [
            (b"\xef\xbb\xbf", "utf-8", "utf-8"),
            (b"\xff\xfe", "utf-16-le", "utf-16"),
            (b"\xfe\xff", "utf-16-be", "utf-16"),
            (b"\xff\xfe\0\0", "utf-32-le", "utf-32"),
        ],
    )
    @pytest.mark.parametrize("encoding", ["cp1252", "shift_jis", "cp037", "utf-16-be", "utf-8"])
    def test_mark_of_another_encoding_is_reported(
        self, mark: bytes, written: str, name: str, encoding: str
    ) -> None:
        problems = of_text(mark + TABLE.encode(written), encoding=encoding)
        if encoding == written:
            assert problems == []
        else:
            assert problems == [
                f"1: not {encoding.upper()}: the file begins with the byte order mark of "
                f"{name.upper()}; read it with --encoding {name}"
            ]
        assert of_text(mark + TABLE.encode(written), encoding=name) == []

    @pytest.mark.parametrize("written", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    def test_utf16_and_utf32_without_a_mark_are_read(self, written: str) -> None:
        assert of_text(TABLE.encode(written), encoding=written[:6]) == []

    def test_utf16_without_a_clear_byte_order_names_the_remedy(self) -> None:
        assert of_text("\u65e5\u672c".encode("utf-16-le"), encoding="utf-16") == [
            "1: no byte order mark of UTF-16; read the file with --encoding utf-16-le or "
            "utf-16-be, or with its own encoding, such as utf-8"
        ]
