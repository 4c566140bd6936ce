"""What to do about an error code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchcap.reports.advice import CODES, Retry, advice_for

README = Path(__file__).parents[3] / "README.md"


def test_advice_covers_every_error_code_of_the_readme() -> None:
    table = README.read_text(encoding="utf-8").partition("| error code |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    documented = {code for cell in rows for code in re.findall(r"`(\w+)`", cell)}
    assert len(documented) > 10
    assert documented <= CODES


@pytest.mark.parametrize("code", [*sorted(CODES), "of_a_third_provider"])
@pytest.mark.parametrize("retryable", [True, False])
def test_advice_names_no_command_if_no_retry_can_help(code: str, retryable: bool) -> None:
    advice = advice_for(code, retryable=retryable)
    assert advice.text.endswith(".")
    if advice.retry is Retry.NO:
        assert advice.command == ""
    if advice.retry is Retry.YES:
        passing = "--retryable " if code in {"job_failed", "link_dead"} else ""
        assert advice.command == f"batchcap resume --retry-failed {passing}--only {code}"


def test_advice_for_a_failed_job_depends_on_what_the_provider_says() -> None:
    assert advice_for("job_failed").retry is Retry.YES
    assert advice_for("job_failed", retryable=False).retry is Retry.NO
