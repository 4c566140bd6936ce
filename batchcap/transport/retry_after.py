"""Reads Retry-After and Date headers (RFC 9110, 10.2.3 and 5.6.7)."""

from __future__ import annotations

import email.utils
import math
from datetime import UTC


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number or an HTTP date.

    `now` is unix seconds. Returns None if there is no header or it is invalid. The value is
    not clamped: a server that asks for a day gets a day.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = (http_date(value) or math.nan) - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def http_date(value: str | None) -> float | None:
    """Return the unix seconds of an HTTP date, None if it is none. Without a zone it is UTC."""
    try:
        date = email.utils.parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
