"""The failed rows of a run by code, as a user sees them at its end."""

from __future__ import annotations

import pytest

from batchcap.domain.models import FailureGroup
from batchcap.reports.advice import advice_for
from batchcap.reports.failure_table import failure_lines


def group(code: str, retryable: int = 0, message: str = "why") -> FailureGroup:
    return FailureGroup(code, 4, retryable, "mux:a:es", "m.csv:2", message)


@pytest.mark.parametrize(
    ("code", "retryable", "text"),
    [
        ("unavailable", 4, "yes"),
        ("job_failed", 4, "yes"),
        ("job_failed", 1, "yes, for 1 of them"),
        ("job_failed", 0, "no"),
        ("captions_not_enabled", 0, "no"),
        ("asset_not_found", 0, "after a change"),
    ],
)
def test_failure_lines_say_whether_a_retry_can_help(code: str, retryable: int, text: str) -> None:
    first = list(failure_lines([group(code, retryable)]))[1]
    assert first == f"   4  {code}  {text}"


def test_failure_lines_show_count_advice_command_and_sample() -> None:
    groups = [group("job_timeout", 4), group("captions_not_enabled", message="x" * 500)]
    assert list(failure_lines(groups)) == [
        "rows  code                  can a retry help?",
        "   4  job_timeout           yes",
        f"      {advice_for('job_timeout').text}",
        "      batchcap resume --retry-failed --only job_timeout",
        "      such as mux:a:es (m.csv:2): why",
        "   4  captions_not_enabled  no",
        f"      {advice_for('captions_not_enabled').text}",
        f"      such as mux:a:es (m.csv:2): {'x' * (200 - len('mux:a:es (m.csv:2): '))}...",
    ]


def test_failure_lines_without_failures_are_none() -> None:
    assert list(failure_lines([])) == []
