"""Times of day as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def local_time(seconds: float) -> str:
    """Format unix seconds as local time: `Fri 2026-12-04 18:00`, without seconds."""
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%a %Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "the far future"


def utc_time(seconds: float) -> str | None:
    """Format unix seconds as RFC 3339 in UTC, None if no calendar has that date."""
    try:
        return f"{datetime.fromtimestamp(round(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None
