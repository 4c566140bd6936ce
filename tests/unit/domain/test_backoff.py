"""Delays between retries, and the Retry-After header."""

from __future__ import annotations

import email.utils
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.domain.backoff import Backoff
from batchcap.transport.retry_after import retry_after

NOW = 1_790_000_000.0


def test_backoff_default_is_the_documented_one() -> None:
    backoff = Backoff()
    assert backoff.attempts == 6
    full = [backoff.delay(failures, lambda: 0.0) for failures in range(1, 9)]
    assert full == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


@given(
    failures=st.integers(1, 10_000),
    first=st.floats(0.01, 10),
    longest=st.floats(10, 1000),
    jitter=st.floats(0, 1),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_backoff_delay_is_within_its_jitter_and_bound(
    failures: int, first: float, longest: float, jitter: float, luck: float
) -> None:
    backoff = Backoff(first=first, longest=longest, jitter=jitter)
    full = min(longest, first * 2.0 ** min(failures - 1, 30))
    delay = backoff.delay(failures, lambda: luck)
    assert full * (1 - jitter) - 1e-9 <= delay <= full <= longest


@given(failures=st.integers(1, 40))
def test_backoff_without_jitter_never_falls(failures: int) -> None:
    backoff = Backoff(jitter=0.0)
    assert backoff.delay(failures) <= backoff.delay(failures + 1)


def test_backoff_jitter_separates_requests_that_failed_together() -> None:
    assert len({Backoff().delay(3) for _ in range(50)}) > 10


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("1", 1.0), ("120", 120.0), ("86400", 86400.0), ("1.5", 1.5), (" 7 ", 7.0)],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


def test_retry_after_of_hours_is_not_clamped() -> None:
    assert retry_after("31536000", NOW) == 31_536_000.0
    assert retry_after("1" + "0" * 12, NOW) == 1e12


def test_retry_after_as_a_date() -> None:
    assert retry_after(email.utils.formatdate(NOW + 90, usegmt=True), NOW) == 90.0


def test_retry_after_past_date_is_zero() -> None:
    assert retry_after(email.utils.formatdate(NOW - 90, usegmt=True), NOW) == 0.0
    assert retry_after("-5", NOW) == 0.0


def test_retry_after_date_without_zone_is_utc() -> None:
    """RFC 9110, 5.6.7: the asctime form must be read, and all dates are UTC."""
    code = (
        "from batchcap.transport.retry_after import retry_after;"
        "print(retry_after('Sun Nov  6 08:49:37 1994', 784111777.0 - 60))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(result.stdout) == 60.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "12 monkeys",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Fri, 31 Dec 99999 23:59:59 GMT",
    ],
)
def test_retry_after_invalid_is_none(value: str | None) -> None:
    assert retry_after(value, NOW) is None


@given(st.text(max_size=60) | st.text(alphabet="0123456789 :,GMTadeFnovS+-./", max_size=40))
def test_retry_after_of_any_text_is_finite_or_none(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
