"""`batchcap check`: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchcap.cli.check import check
from batchcap.cli.quality_options import QualityOptions, parse_findings
from batchcap.domain.errors import UsageError
from batchcap.domain.models import Row
from batchcap.domain.quality import ERRORS, Finding
from batchcap.domain.settings import Settings
from tests.harness.ledgers import ended, ledger_of

GOOD = b"WEBVTT\n\n00:01.000 --> 00:03.000\nHola\n"
FAST = b"WEBVTT\n\n00:01.000 --> 00:02.000\n<i>Buenos dias, buenos dias\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.es.vtt").write_bytes(GOOD)
    Path("in").mkdir()
    Path("in", "b.vtt").write_bytes(FAST)
    return tmp_path


def test_check_of_good_files_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Path("a.es.vtt")) == 0
    assert capsys.readouterr().out == "1 file with 1 cue: nothing was found\n"


def test_check_of_a_folder_names_file_cue_time_and_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(Path()) == 1
    assert capsys.readouterr().out.splitlines() == [
        "in/b.vtt: cue 1 (00:00:01.000): unclosed_markup: '<i>' is not closed",
        "in/b.vtt: cue 1 (00:00:01.000): too_fast: 24.0 characters a second, at most 17",
        "2 files with 2 cues: 2 findings in 1 of them: 1 too_fast, 1 unclosed_markup",
    ]


def test_check_in_json_has_every_file_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Path("a.es.vtt"), Path("in/b.vtt"), only="errors", json=True) == 1
    shown = json.loads(capsys.readouterr().out)
    good, fast = shown.pop("results")
    assert shown == {"files": 2, "cues": 2, "with_findings": 1, "quality": {"unclosed_markup": 1}}
    assert good == {
        "path": "a.es.vtt",
        "language": "es",
        "cues": 1,
        "first": 1000,
        "last": 3000,
        "quality": {},
        "findings": [],
    }
    detail = {"kind": "unclosed_markup", "detail": "'<i>' is not closed", "cue": 1, "at": 1000}
    assert fast["findings"] == [detail]


def test_check_of_an_empty_folder_in_json_is_one_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty").mkdir()
    assert check(Path("empty"), json=True) == 0
    assert json.loads(capsys.readouterr().out)["results"] == []


def test_check_compares_with_source_duration_and_terms(capsys: pytest.CaptureFixture[str]) -> None:
    Path("source.vtt").write_bytes(
        b"WEBVTT\n\n00:01.000 --> 00:03.000\nAcme\n\n00:04.000 --> 00:05.000\nx\n"
    )
    Path("terms.txt").write_text("# ours\nAcme\n\nAcme\n")
    status = check(
        Path("a.es.vtt"),
        source=Path("source.vtt"),
        duration="10s",
        never_translate=Path("terms.txt"),
        caption_rules="none",
    )
    assert status == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("1 ends_early, 1 cue_count, 1 lost_term")


def test_check_of_what_is_no_webvtt_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.vtt").write_bytes(b"<html>")
    assert check(Path("c.vtt")) == 1
    assert "c.vtt: not_webvtt: an HTML page, not WebVTT" in capsys.readouterr().out


def test_check_of_a_run_takes_languages_and_lengths_from_its_ledger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Row(key=name, provider="p", source_id=name, language="ru", path=f"{name}.vtt", meta=meta)
        for name, meta in (("one", {"duration": "100"}), ("two", {}))
    ]
    with ledger_of(Path("run"), rows, {"one": ended(), "two": ended()}):
        Path("run", "one.vtt").write_bytes(GOOD)
        Path("run", "two.vtt").write_bytes(GOOD)
        assert check(Path("run"), caption_rules="none") == 1
        assert [line.split(": ")[1:2] for line in capsys.readouterr().out.splitlines()[:3]] == [
            ["cue 1 (00:00:01.000)"],
            ["ends_early"],
            ["cue 1 (00:00:01.000)"],
        ]
        Path("run", "two.vtt").unlink()
        assert check(Path("run"), only="not_webvtt") == 1
        assert "two.vtt: not_webvtt: cannot be read: No such file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "check needs files or a folder"),
        (("nothing.vtt",), "cannot read nothing.vtt: No such file"),
        (("/dev/null",), "cannot read /dev/null: not a regular file"),
    ],
)
def test_check_of_no_file_is_a_usage_error(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(*map(Path, arguments))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "overlap,nonsense"}, "--only: unknown finding 'nonsense'"),
        ({"source": Path("in")}, "--source in: there is no WebVTT file"),
        ({"never_translate": Path("none.txt")}, "--never-translate none.txt: No such file"),
        ({"duration": "x"}, "--duration: invalid duration"),
    ],
)
def test_check_with_a_wrong_option_is_a_usage_error(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check(Path("a.es.vtt"), **options)  # type: ignore[arg-type]  # wrong on purpose


def test_terms_that_are_not_utf_8_are_a_usage_error() -> None:
    Path("terms.txt").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        check(Path("a.es.vtt"), never_translate=Path("terms.txt"))


def test_parse_findings_takes_names_errors_and_all() -> None:
    assert parse_findings("--only", "overlap, errors") == {Finding.OVERLAP, *ERRORS}
    assert parse_findings("--only", "all") == {*Finding}


def test_quality_options_choose_what_is_checked_and_what_is_refused() -> None:
    settings = Settings(out=Path())
    assert QualityOptions().applied(settings).quality is None
    looked = QualityOptions(quality=True, caption_rules="bbc").applied(settings).quality
    assert looked is not None
    assert (looked.rules, looked.strict) == ("bbc", frozenset())
    strict = QualityOptions(strict_captions=True).applied(settings).quality
    assert strict is not None
    assert (strict.rules, strict.strict) == ("netflix", ERRORS)
    chosen = QualityOptions(strict_findings="too_fast").applied(settings).quality
    assert chosen is not None
    assert chosen.strict == {Finding.TOO_FAST}
    with pytest.raises(UsageError, match="need --quality"):
        QualityOptions(caption_rules="bbc").applied(settings)
