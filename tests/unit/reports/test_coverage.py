"""Which source has a caption in which language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.reports.coverage import CaptionState, Coverage, Source, caption_state

STATES = ("done", "failed", "skipped", "invalid", "pending")


def result(source_id: str | None, language: str | None, state: str = "done") -> dict[str, Any]:
    name, _, job = state.partition(" ")
    return {
        "provider": "p",
        "source_id": source_id,
        "language": language,
        "state": name,
        "job_id": job or None,
    }


def coverage_of(results: Iterable[dict[str, Any]]) -> Coverage:
    coverage = Coverage()
    for one in results:
        coverage.add(one)
    return coverage


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("done", CaptionState.DONE),
        ("done job-1", CaptionState.DONE),
        ("skipped", CaptionState.SKIPPED),
        ("failed", CaptionState.FAILED),
        ("failed job-1", CaptionState.FAILED),
        ("invalid", CaptionState.FAILED),
        ("pending job-1", CaptionState.RUNNING),
        ("pending", CaptionState.MISSING),
    ],
)
def test_caption_state_of_a_row(state: str, expected: CaptionState) -> None:
    assert caption_state(result("a", "es", state)) is expected


def test_coverage_yields_sources_in_order_of_their_first_rows() -> None:
    coverage = coverage_of(
        [result("b", "es"), result("a", "ja", "pending"), result("b", "fr", "failed")]
    )
    assert list(coverage.sources()) == [
        Source("p", "b", {"es": CaptionState.DONE, "fr": CaptionState.FAILED}),
        Source("p", "a", {"ja": CaptionState.MISSING}),
    ]
    assert coverage.languages() == ["es", "fr", "ja"]


def test_coverage_compares_languages_without_case_and_puts_none_last() -> None:
    coverage = coverage_of([result("a", None), result("a", "pt-BR"), result("b", "PT-br")])
    assert coverage.languages() == ["pt-BR", ""]
    assert coverage.by_language() == {"pt-BR": {CaptionState.DONE: 2}, "": {CaptionState.DONE: 1}}


def test_coverage_of_two_rows_for_one_caption_is_the_one_that_needs_attention() -> None:
    coverage = coverage_of([result("a", "es", "failed"), result("a", "es", "done")])
    [source] = coverage.sources()
    assert source.states == {"es": CaptionState.FAILED}
    assert source.has_gaps


def test_coverage_leaves_out_invalid_rows_without_a_source() -> None:
    coverage = coverage_of([result(None, "es", "invalid")])
    assert (list(coverage.sources()), coverage.languages()) == ([], [])


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.sampled_from(STATES)))
)
def test_coverage_counts_every_row_once(rows: list[tuple[str, str, str]]) -> None:
    coverage = coverage_of(result(*row) for row in rows)
    assert sum(states.total() for states in coverage.by_language().values()) == len(rows)
    pairs = {(source.source_id, name) for source in coverage.sources() for name in source.states}
    assert pairs == {(source, language) for source, language, _ in rows}
