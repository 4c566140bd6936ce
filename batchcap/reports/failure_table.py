"""The failed rows of a run by code, as lines for the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchcap.domain.models import FailureGroup
from batchcap.reports.advice import Advice, Retry, advice_for

_MAX_SAMPLE = 200  # characters


def failure_lines(groups: Sequence[FailureGroup]) -> Iterator[str]:
    """Yield for each code: how many rows, if a retry can help, what to do, and a sample row.

    The folder of the run is missing in the commands.
    """
    if not groups:
        return
    width = max(len(group.code) for group in groups)
    digits = max(len("rows"), *(len(f"{group.count:,}") for group in groups))
    yield f"{'rows':>{digits}}  {'code':<{width}}  can a retry help?"
    for group in groups:
        advice = advice_for(group.code, retryable=group.retryable > 0)
        yield f"{group.count:>{digits},}  {group.code:<{width}}  {_can_retry(group, advice)}"
        yield f"      {advice.text}"
        if advice.command:
            yield f"      {advice.command}"
        yield f"      such as {_sample(group)}"


def _can_retry(group: FailureGroup, advice: Advice) -> str:
    if advice.retry is Retry.YES and 0 < group.retryable < group.count:
        return f"yes, for {group.retryable:,} of them"
    return advice.retry


def _sample(group: FailureGroup) -> str:
    row = f"{group.key} ({group.origin})" if group.key else group.origin
    text = f"{row}: {group.message}"
    return text if len(text) <= _MAX_SAMPLE else f"{text[:_MAX_SAMPLE]}..."
