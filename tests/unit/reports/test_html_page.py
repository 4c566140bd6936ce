"""The HTML report as text: its data, its policy, and what it embeds. `tests/browser` opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap.domain.models import Row
from batchcap.reports.advice import CODES
from batchcap.reports.html import content_security_policy, message, page
from batchcap.reports.html.blocks import ROWS_IN_BLOCK, row_blocks
from batchcap.reports.html.captions import caption_blocks
from batchcap.storage.ledger import open_ledger
from batchcap.storage.sources import source_path
from tests.harness.rows import VTT, heygen_row, mux_row
from tests.harness.runs import ledger_sql

SCRIPT = re.compile(r"<script([^>]*)>(.*?)</script>", re.DOTALL)


def result(number: int = 0, /, **changes: Any) -> dict[str, Any]:
    absent = ("bytes", "sha256", "cues", "job_id", "error", "started_at", "finished_at")
    return {
        **dict.fromkeys(absent),
        "key": f"mux:v{number}:es",
        "provider": "mux",
        "source_id": f"v{number}",
        "language": "es",
        "path": f"mux/v{number}.es.vtt",
        "state": "pending",
        "meta": {},
        **changes,
    }


def data_of(text: str, attribute: str) -> list[Any]:
    """Return the JSON of the script elements that have an attribute."""
    return [json.loads(body) for head, body in SCRIPT.findall(text) if attribute in head]


def text_of(block: dict[str, list[Any]], column: str) -> list[str | None]:
    return [None if place < 0 else block["texts"][place] for place in block[column]]


def test_page_holds_totals_minutes_and_advice(tmp_path: Path) -> None:
    rows = [mux_row("a"), mux_row("b", "ja"), heygen_row("c")]
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m", rows)], skip_invalid=False)
    ledger_sql(tmp_path, "INSERT INTO minutes VALUES (5, 'mux', 'done', 7)")
    with closing(open_ledger(tmp_path, create=False)) as ledger:
        text = "".join(page(ledger, out=tmp_path, files_link="x/", now=lambda: 9.0))
    (about,) = data_of(text, 'id="about"')
    assert about["totals"]["pending"] == 3
    assert about["minutes"] == [[5, "mux", "done", 7]]
    assert about["advice"].keys() == CODES
    assert (about["made_at"], about["files"], about["live"]) == (9.0, "x/", False)
    (block,) = data_of(text, 'class="rows"')
    assert block["key"] == [0, 0, 0]  # each is the default one
    assert block["path"] == [0, 0, 0]
    assert text_of(block, "source_id") == ["a", "b", "c"]
    assert text_of(block, "language") == ["es", "ja", None]


def test_commands_of_the_advice_are_completed(tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        text = "".join(page(ledger, out=tmp_path, complete=lambda text: text.upper()))
    (about,) = data_of(text, 'id="about"')
    advice = about["advice"]["job_timeout"][1]
    assert advice["command"] == "BATCHCAP RESUME --RETRY-FAILED --ONLY JOB_TIMEOUT"


@pytest.mark.parametrize("live", [False, True])
def test_policy_allows_exactly_the_script_and_style_of_the_page(tmp_path: Path, live: bool) -> None:
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        text = "".join(page(ledger, out=tmp_path, live=live))
    policy = content_security_policy(live=live)
    (script,) = [body for head, body in SCRIPT.findall(text) if not head]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for kind, body in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert ("connect-src 'self'" in policy) == live
    assert f'content="{policy}"' in text


def test_rows_are_blocks_that_stand_alone() -> None:
    rows = [result(number) for number in range(ROWS_IN_BLOCK + 1)]
    first, second = row_blocks(rows)
    assert (len(first["key"]), len(second["key"])) == (ROWS_IN_BLOCK, 1)
    assert text_of(second, "source_id") == [f"v{ROWS_IN_BLOCK}"]
    assert list(row_blocks([])) == []


def test_row_keeps_what_is_not_the_default() -> None:
    error = {"code": "job_failed", "message": "m", "retryable": True}
    times = {"started_at": "2026-11-28T12:00:00.250Z", "finished_at": "2026-11-28T12:00:01.000Z"}
    own = result(key="own", path="own.vtt", state="failed", error=error, phase="waiting", **times)
    invalid = result(1, key=None, path=None, provider=None, state="invalid", file="m.csv", line=7)
    (block,) = row_blocks([own, invalid])
    assert (block["key"], block["path"]) == (["own", None], ["own.vtt", None])
    assert text_of(block, "code") == ["job_failed", None]
    assert text_of(block, "phase") == ["waiting", None]
    assert (block["retryable"], block["origin"]) == ([1, 0], [None, "m.csv:7"])
    assert block["finished_at"][0] - block["started_at"][0] == pytest.approx(0.75)


def test_message_is_one_line_with_what_changed() -> None:
    text = message(rows=[result(meta={"title": "a\nb</script>"})])
    assert "\n" not in text
    assert "<" not in text
    decoded = json.loads(text)
    assert decoded["rows"]["meta"] == [{"title": "a\nb</script>"}]
    assert decoded["totals"] is decoded["snapshot"] is None
    assert json.loads(message())["rows"] is None


def test_embedded_captions_have_their_source(tmp_path: Path) -> None:
    for path in ("mux/v0.es.vtt", "mux/v60.es.vtt", source_path(tmp_path, "mux", "v0", "t1")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(VTT)
    (tmp_path / "mux/v1.es.vtt").write_bytes(b"x" * 1_000_001)
    (tmp_path / "secret").write_text("not a caption")
    (tmp_path / "mux/v4.es.vtt").symlink_to(tmp_path / "secret")
    (tmp_path / "mux/v5.es.vtt").mkdir()
    (tmp_path / "mux/v2.es.vtt").write_bytes(b"\xef\xbb\xbfWEBVTT \xff")
    rows = [result(number, state="done") for number in range(61)]
    rows.append(result(3))  # pending
    blocks = dict(caption_blocks(rows, tmp_path))
    caption = VTT.decode()
    assert blocks[0]["0"] == {"caption": caption, "source": caption}
    assert blocks[0].keys() == {"0", "2"}  # not what is too large, a link, a folder, or missing
    assert blocks[0]["2"] == {"caption": "WEBVTT \ufffd"}
    assert blocks[1] == {"60": {"caption": caption}}


def test_page_embeds_captions_only_if_asked(tmp_path: Path) -> None:
    row = Row(key="k", provider="mux", source_id="a", language="es", path="a.vtt")
    (tmp_path / "a.vtt").write_bytes(VTT)
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m", [row])], skip_invalid=False)
    ledger_sql(tmp_path, "UPDATE rows SET state = 'done'")
    with closing(open_ledger(tmp_path, create=False)) as ledger:
        plain = "".join(page(ledger, out=tmp_path))
        embedded = "".join(page(ledger, out=tmp_path, embed=True))
    assert data_of(plain, 'id="captions-0"') == []
    assert data_of(embedded, 'id="captions-0"') == [{"0": {"caption": VTT.decode()}}]


def test_block_has_findings_only_if_a_caption_was_checked() -> None:
    rows = [result(0), result(1, quality={}), result(2, quality={"empty": 2, "overlap": 1})]
    (block,), (other,) = row_blocks(rows), row_blocks(rows[:1])
    assert text_of(block, "quality") == [None, "none", "2 empty, 1 overlap"]
    assert "quality" not in other
