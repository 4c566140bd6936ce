"""Errors and pages in the format of HeyGen's v3."""

from __future__ import annotations

from typing import Any

from batchcap.sandbox.http_types import Header, Response, json_response


def v3_error(
    status: int, code: str, message: str, headers: tuple[Header, ...] = (), **fields: str
) -> Response:
    """Return an error; `fields` come beside code and message."""
    return json_response(status, {"error": {"code": code, "message": message, **fields}}, headers)


def invalid_parameter(parameter: str, message: str) -> Response:
    """Return the 400 for a parameter or a field of the body."""
    return v3_error(400, "invalid_parameter", message, param=parameter)


def page(rows: list[dict[str, Any]], end: int, total: int) -> dict[str, Any]:
    """Return the fields of a page that ends before the item of that index."""
    has_more = end < total
    return {"data": rows, "has_more": has_more, "next_token": str(end) if has_more else None}


def is_number(text: str) -> bool:
    """Return whether a text is a number of at most nine digits, without a sign."""
    return text.isascii() and text.isdecimal() and len(text) < 10
