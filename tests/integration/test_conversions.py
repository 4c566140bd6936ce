"""--also: conversions beside the captions, made again when a caption changed."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from batchcap.app.conversions import ConversionResult, convert_captions
from batchcap.app.verify import Verdict, check_folder
from batchcap.cli.app import main
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_reader
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

FORMATS = ("srt", "txt", "json")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row("film-1"), mux_row("film-2"), mux_row("film-fails-3")]
        await run_rows(sandbox, tmp_path, rows)
    return tmp_path


def made(folder: Path, *formats: str, warnings: list[str] | None = None) -> ConversionResult:
    with closing(open_reader(folder)) as ledger:
        warn = pytest.fail if warnings is None else warnings.append
        return convert_captions(ledger, folder, formats or FORMATS, warn)


async def test_conversions_are_made_once_and_again_after_a_change(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.vtt")}
    assert made(folder).made == 2 * len(FORMATS)
    assert {path: path.read_bytes() for path in folder.rglob("*.vtt")} == before
    assert made(folder).made == 0
    changed = folder / "mux/film-1.es.vtt"
    later = changed.stat().st_mtime_ns + 10**9
    os.utime(changed, ns=(later, later))
    (folder / "mux/film-2.es.txt").unlink()
    assert made(folder).made == len(FORMATS) + 1


async def test_conversions_are_no_extra_files(folder: Path) -> None:
    made(folder, "srt", "ttml", "txt", "json")
    (folder / "mux/other.srt").write_text("")
    verdict = Verdict()
    with closing(open_reader(folder)) as ledger:
        check_folder(ledger, folder, verdict)
    assert verdict.extra_files == ["mux/other.srt"]


async def test_conversion_that_was_killed_is_made_by_the_next_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)  # the name is given last
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process removes nothing
        with pytest.raises(KeyboardInterrupt):
            made(folder)
    assert {path.suffix for path in folder.glob("mux/*")} == {".vtt", ".part"}
    verdict = Verdict()
    with closing(open_reader(folder)) as ledger:
        check_folder(ledger, folder, verdict)
    assert (len(verdict.temp_files), verdict.extra_files) == (1, [])
    assert made(folder).made == 2 * len(FORMATS)


async def test_conversion_of_a_caption_that_is_gone_is_left_out(folder: Path) -> None:
    (folder / "mux/film-1.es.vtt").unlink()
    assert made(folder).made == len(FORMATS)


async def test_conversion_does_not_replace_the_caption_of_another_row(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [
            msgspec.structs.replace(mux_row("film-1"), path="a.vtt"),
            msgspec.structs.replace(mux_row("film-2"), path="a.srt"),
        ]
        await run_rows(sandbox, tmp_path, rows)
    served = (tmp_path / "a.srt").read_bytes()
    warnings: list[str] = []
    assert made(tmp_path, "srt", warnings=warnings).failed == 1
    assert "cannot make a.srt: it is the caption of another row" in warnings
    assert (tmp_path / "a.srt").read_bytes() == served


async def test_conversion_writes_through_no_link(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.srt"
    (folder / "mux/film-1.es.srt").symlink_to(outside)
    warnings: list[str] = []
    result = made(folder, "srt", warnings=warnings)
    assert (result.made, result.failed) == (1, 1)
    assert "symbolic link" in warnings[0]
    assert not outside.exists()


def test_run_with_also_makes_conversions_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text("asset_id,to_language_code\nfilm-1,es\n")
    assert main(["run", "m.csv", "--sandbox", "--also", "srt,ttml"]) == 0
    error = capsys.readouterr().err
    assert "2 conversions made" in error
    assert "note: srt cannot hold identifiers: 1 file" in error
    assert {path.name for path in Path("captions/mux").iterdir()} == {
        *("film-1.es.vtt", "film-1.es.srt", "film-1.es.ttml"),
    }
    assert main(["run", "m.csv", "--sandbox", "--also", "doc"]) == 2
    assert "--also: unknown caption format 'doc'" in capsys.readouterr().err


def test_convert_writes_beside_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\n<v Bob>Hi\n")
    (tmp_path / "b.vtt").write_text("no caption")
    assert main(["convert", str(tmp_path), "--to", "srt"]) == 1
    output = capsys.readouterr()
    assert output.out == "1 file written, 1 not\n"
    assert "srt cannot hold its voices" in output.err
    assert "b.vtt: not WebVTT" in output.err
    assert main(["convert", str(tmp_path / "a.vtt"), "--to", "srt"]) == 1
    assert "a.srt exists; --force replaces it" in capsys.readouterr().err
    (tmp_path / "a.vtt").unlink()
    assert main(["convert", str(tmp_path / "a.srt"), "--to", "vtt"]) == 0
    assert "00:00:00.000 --> 00:00:01.000\nHi\n" in (tmp_path / "a.vtt").read_text()
