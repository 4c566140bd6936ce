"""The results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchcap.domain.models import InvalidRow, Outcome, Row, RowState
from batchcap.reports import markdown_report
from batchcap.reports.markdown_report import as_markdown
from tests.harness.ledgers import ended, failed, ledger_of
from tests.harness.rows import CAPTION
from tests.unit.reports.test_markdown import HOSTILE, RENDERER, cells

COMMENT = 65_536
"""Characters of a comment on GitHub."""


def complete(command: str) -> str:
    return command.replace("resume", "resume -o out")


def row(source: str, language: str | None = "es", **changes: Any) -> Row:
    given = {
        "key": f"{source}:{language}",
        "provider": "p",
        "source_id": source,
        "language": language,
        "target": (language or "").lower(),
        "path": f"{source}.{language}.vtt",
    }
    return Row(**{**given, **changes})


def report(folder: Path, rows: list[Row | InvalidRow], outcomes: dict[str, Outcome | str]) -> str:
    with ledger_of(folder, rows, outcomes) as ledger:
        return "".join(as_markdown(ledger, complete))


def test_markdown_has_summary_states_failures_and_coverage(tmp_path: Path) -> None:
    rows: list[Row | InvalidRow] = [
        *(row("a", language) for language in ("es", "ja", "fr", "de", "it")),
        InvalidRow(line=9, message="no id", origin="m.csv:9"),
    ]
    outcomes: dict[str, Outcome | str] = {
        "a:es": ended(),
        "a:ja": failed("bad_caption", "not | WebVTT"),
        "a:fr": ended(RowState.SKIPPED),
        "a:de": "job-1",
    }
    text = report(tmp_path, rows, outcomes)
    assert text.startswith(
        "## Captions: 1 of 6 done\n\n"
        "6 captions: 1 done, 1 failed, 1 skipped, 1 invalid, 2 pending; 40 B.\n\n"
        "| provider | done | failed | skipped | invalid | pending |\n"
    )
    assert "| `p` | 1 | 1 | 1 | 0 | 2 |" in text
    assert "| `bad_caption` | 1 | `a:ja` | `not \\| WebVTT` | yes | A retry downloads" in text
    assert "`batchcap resume -o out --retry-failed --only bad_caption` |" in text
    assert "| `invalid` | 1 | `m.csv:9` | `no id` | after a change | Correct the man" in text
    assert "| `de` German, Deutsch | 0 | 0 | 1 | 0 | 0 |\n" in text
    assert text.endswith(
        "### Sources with gaps\n\n"
        "| provider | source | running | missing | failed |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| `p` | `a` | `de` | `it` | `ja` |\n"
    )


def test_markdown_of_a_rehearsal_says_so(tmp_path: Path) -> None:
    with ledger_of(tmp_path, [row("a")]) as ledger:
        assert "rehearsal" in "".join(as_markdown(ledger, complete, is_rehearsal=True))
        assert "rehearsal" not in "".join(as_markdown(ledger, complete))


def test_markdown_of_a_run_without_gaps_has_no_failures(tmp_path: Path) -> None:
    text = report(tmp_path, [row("a"), row("b")], {"a:es": ended(), "b:es": ended()})
    assert text.startswith("## Captions: 2 of 2 done\n\n2 captions: 2 done; 80 B.\n")
    assert "Failures" not in text
    assert "gaps" not in text


@pytest.mark.parametrize("limit", ["MAX_LANGUAGES", "MAX_SOURCES", "MAX_CODES"])
def test_markdown_of_many_rows_fits_into_a_comment(tmp_path: Path, limit: str) -> None:
    count = getattr(markdown_report, limit) + 5
    long = "`|" * 500
    rows = [row(f"s{n}{long}", f"l{n}{long}", path=f"{n}.vtt") for n in range(count)]
    outcomes = {one.key: failed(f"code_{n}", long) for n, one in enumerate(rows)}
    text = report(tmp_path, [*rows], {**outcomes})
    assert f"And {count - getattr(markdown_report, limit)} more" in text
    assert len(text) < COMMENT


def test_markdown_shows_hostile_text_as_text(tmp_path: Path) -> None:
    rows = [
        row(f"{text}{n}", f"{text}", key=f"k{n}{text}", path=f"{n}.vtt")
        for n, text in enumerate(HOSTILE)
    ]
    outcomes = {one.key: failed(one.source_id, one.source_id) for one in rows}
    text = report(tmp_path, [*rows], {**outcomes})
    rendered = RENDERER.render(text)
    allowed = ("h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code")
    tags = {tag.strip("/").split()[0] for tag in _tags(rendered)}
    assert tags <= set(allowed)
    assert all(cell.count("<code>") <= 1 for cell in cells(text.splitlines()))
    assert "@" not in _without_code(rendered)


def _tags(rendered: str) -> list[str]:
    return [part.partition(">")[0] for part in rendered.split("<")[1:]]


def _without_code(rendered: str) -> str:
    return "".join(part.rpartition("</code>")[2] for part in rendered.split("<code>"))


def test_markdown_counts_findings_if_captions_were_checked(tmp_path: Path) -> None:
    found = replace(ended(), caption=replace(CAPTION, quality={"empty": 2}))
    good = replace(ended(), caption=replace(CAPTION, quality={}))
    text = report(tmp_path, [row("a"), row("b"), row("c")], {"a:es": found, "b:es": good})
    assert "### Quality\n\n2 captions checked.\n" in text
    assert "| `empty` | 1 | 2 |" in text
    assert "Quality" not in report(tmp_path / "other", [row("a")], {"a:es": ended()})
