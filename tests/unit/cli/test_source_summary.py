"""The end of a run that fetched source captions."""

from __future__ import annotations

from pathlib import Path

from batchcap.cli.source_summary import source_counts, source_lines
from batchcap.domain.events import SourceEnded
from batchcap.domain.models import Totals
from batchcap.domain.settings import Settings
from batchcap.reports.metrics import Metrics
from tests.harness.ledgers import ended, ledger_of
from tests.harness.rows import mux_row

BOTH = Totals(by_provider={"mux": {"done": 3}, "heygen": {"done": 1}})
MUX = Totals(by_provider={"mux": {"done": 3}})


def test_source_counts_of_a_run_are_what_was_downloaded_and_what_is_missing(
    tmp_path: Path,
) -> None:
    rows = [mux_row("film", "es"), mux_row("film", "ja"), mux_row("clip")]
    metrics = Metrics()
    metrics(SourceEnded(rows[0]))
    metrics(SourceEnded(rows[0], "404"))
    with ledger_of(tmp_path, rows, {rows[0].key: ended()}) as ledger:
        counts = source_counts(ledger, Settings(out=tmp_path, fetch_sources=True), metrics)
        assert counts == {"downloaded": 1, "missing": 2}
        assert source_counts(ledger, Settings(out=tmp_path), metrics) is None


def test_source_lines_name_the_command_if_some_are_missing() -> None:
    (line,) = source_lines(MUX, {"downloaded": 1200, "missing": 3})
    assert line == (
        "source captions: 1,200 downloaded, 3 missing. "
        "To try again: batchcap resume --fetch-sources"
    )


def test_source_lines_name_the_providers_that_offer_none() -> None:
    (line,) = source_lines(BOTH, {"downloaded": 1, "missing": 0})
    assert line == "source captions: 1 downloaded, none is missing; heygen offers none"


def test_source_lines_without_the_option_are_none() -> None:
    assert not list(source_lines(BOTH, None))
