"""`batchcap report`: where it writes, and in which format."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from batchcap.cli.parsing import parse_delimiter
from batchcap.cli.report import report
from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.models import Row
from tests.harness.ledgers import ended, failed, ledger_of
from tests.harness.rows import VTT

pytestmark = pytest.mark.usefixtures("captions")


@pytest.fixture
def captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of a run, named `captions` in the current one."""
    monkeypatch.chdir(tmp_path)
    rows = [
        Row(key=name, provider="p", source_id=name, language="es", path=f"p/{name}.vtt")
        for name in ("007", "ü")
    ]
    with ledger_of(tmp_path / "captions", rows, {"007": ended()}):
        yield


@pytest.mark.parametrize("format_", ["json", "csv", "md"])
def test_report_to_standard_output_has_the_bytes_of_the_file(
    capfdbinary: pytest.CaptureFixture[bytes], format_: str
) -> None:
    assert report(format_=format_, out="r") == 0  # type: ignore[arg-type]  # one of them
    capfdbinary.readouterr()
    assert report(format_=format_) == 0  # type: ignore[arg-type]  # one of them
    shown = capfdbinary.readouterr().out
    assert shown == Path("r").read_bytes()
    assert (b"\r\n" in shown, shown.startswith(b"\xef\xbb\xbf")) == ((format_ == "csv"),) * 2


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        ({"out": "r.pdf"}, True),
        ({"out": "r.pdf", "format_": "json"}, False),
        ({"out": "r.JSON"}, False),
        ({"out": "r"}, False),
        ({}, False),
    ],
)
def test_report_in_json_under_another_ending_says_so(
    capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], noted: bool
) -> None:
    assert report(**arguments) == 0
    note = "note: r.pdf is JSON; the endings of other formats are .csv, .xlsx, .md, .html\n"
    assert capsys.readouterr().err == (note if noted else "")


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("r.csv", b"\xef\xbb\xbfkey,"),
        ("r.MD", b"## Captions"),
        ("r.xlsx", b"PK"),
        ("r.json", b"{"),
        ("r.txt", b"{"),
        ("csv", b"{"),
    ],
)
def test_report_without_format_takes_that_of_the_ending(name: str, begins: bytes) -> None:
    assert report(out=name) == 0
    assert Path(name).read_bytes().startswith(begins)


def test_report_with_format_ignores_the_ending() -> None:
    assert report(format_="json", out="r.csv") == 0
    assert json.loads(Path("r.csv").read_text())["totals"]["total"] == 2


def test_report_csv_takes_a_delimiter() -> None:
    assert report(out="r.csv", delimiter="tab") == 0
    assert Path("r.csv").read_text(encoding="utf-8-sig").startswith("key\tprovider\t")


def test_report_with_a_delimiter_in_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="--delimiter"):
        report(format_="md", delimiter=";")


def test_report_html_links_the_captions_from_where_it_is() -> None:
    Path("reports").mkdir()
    for out, link in (("r.html", "captions/"), ("reports/r.html", "../captions/")):
        assert report(out=out) == 0
        assert f'"files":"{link}"' in Path(out).read_text(encoding="utf-8")


def test_report_embeds_captions_in_html_only() -> None:
    Path("captions/p").mkdir()
    Path("captions/p/007.vtt").write_bytes(VTT)
    assert report(out="r.html", embed=True) == 0
    assert 'class="captions"' in Path("r.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="--embed is for --format html"):
        report(out="r.csv", embed=True)


@pytest.mark.parametrize("text", ["", ",,", '"', "\n", "\r", "a", "1", "\0"])
def test_parse_delimiter_refuses_what_cannot_separate(text: str) -> None:
    with pytest.raises(UsageError, match="--delimiter"):
        parse_delimiter(text)


def test_report_csv_warns_of_cells_that_excel_changes(capsys: pytest.CaptureFixture[str]) -> None:
    report(out="r.csv")
    assert capsys.readouterr().err == (
        "note: Excel reads 2 cells as other values, such as '007'; --format xlsx keeps them\n"
    )
    report(out="r.xlsx")
    assert capsys.readouterr().err == ""


def test_report_xlsx_links_the_captions_from_where_it_is() -> None:
    Path("reports").mkdir()
    report(out="reports/r.xlsx")
    report(out="captions/r.xlsx")
    assert _links("reports/r.xlsx") == [r"..\captions\p\007.vtt"]
    assert _links("captions/r.xlsx") == [r"p\007.vtt"]


def _links(path: str) -> list[str | None]:
    sheet = openpyxl.load_workbook(path)["Results"]
    return [cell.hyperlink.target for line in sheet for cell in line if cell.hyperlink]


def test_report_xlsx_goes_to_a_pipe_but_not_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leader, terminal = os.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(UsageError, match="terminal"):
            report(format_="xlsx")
    piped = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", piped)
    report(format_="xlsx")
    assert openpyxl.load_workbook(piped.buffer).sheetnames[0] == "Results"


@pytest.mark.parametrize("format_", ["json", "csv", "xlsx", "md"])
def test_report_that_fails_leaves_the_file_of_before(
    monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    Path("r").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FatalError, match=r"^cannot write r: No space left on device"):
        report(format_=format_, out="r")  # type: ignore[arg-type]  # one of them
    assert Path("r").read_text() == "old"
    assert {path.name for path in Path().iterdir()} == {"captions", "r"}


def test_report_names_the_folder_in_its_commands(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = Row(key="a", provider="p", source_id="a", language="es", path="a.vtt")
    with ledger_of(tmp_path / "my run", [row], {"a": failed("unavailable")}):
        report(dir_=Path("my run"), format_="md")
    command = "`batchcap resume -o 'my run' --retry-failed --only unavailable`"
    assert command in capfd.readouterr().out


def test_report_to_a_place_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^-o missing/r: No such file"):
        report(out="missing/r")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
@pytest.mark.parametrize("format_", ["json", "csv", "xlsx", "md", "html"])
def test_report_of_a_folder_whose_name_is_not_utf_8(format_: str) -> None:
    folder = Path(os.fsdecode(b"out\xff"))
    Path("captions").rename(folder)
    assert report(dir_=folder, out=f"r.{format_}") == 0
    if format_ == "html":
        assert '"files":"out%FF/"' in Path("r.html").read_text()


def test_report_with_quality_checks_the_files_that_are_there(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    Path("captions", "p").mkdir()
    Path("captions", "p", "007.vtt").write_bytes(VTT.replace(b"Hello", b"<i>Hello"))
    assert report(quality=True) == 0
    done, pending = json.loads(capfdbinary.readouterr().out)["rows"]
    assert (done["quality"], pending["quality"]) == ({"unclosed_markup": 1}, None)
    report(quality=True, format_="csv")
    assert b",1 unclosed_markup" in capfdbinary.readouterr().out
    report()
    assert json.loads(capfdbinary.readouterr().out)["rows"][0]["quality"] is None
    with pytest.raises(UsageError, match="need --quality"):
        report(caption_rules="bbc")
