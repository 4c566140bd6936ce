"""Converters: each takes a cell and returns the value in the API's type.

A cell is a string from CSV, or any JSON value; it is never empty. None means that the
column needs no value in the API. Every converter raises `InvalidValue` for a cell that it
does not accept.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchcap.manifest.languages import SEPARATOR
from batchcap.manifest.messages import InvalidValue, describe, quote

MAX_ID = 255
"""Most characters of an id that the providers accept."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def text(value: Any) -> str:
    """Accept any string, as it is."""
    if isinstance(value, str):
        return value
    raise InvalidValue(f"expected a string, got {describe(value)}")


def label(value: Any) -> str:
    """Accept one line: at most `MAX_ID` characters, no control characters."""
    found = _bounded(text(value))
    if not found.isprintable() and _CONTROL.search(found):
        raise InvalidValue(f"{quote(found)} holds a control character")
    if not found.strip():
        raise InvalidValue("is blank")
    return found


def _bounded(value: str) -> str:
    if len(value) > MAX_ID:
        raise InvalidValue(f"{len(value)} characters, at most {MAX_ID} are possible")
    return value


def identifier(value: Any) -> str:
    """Accept an id: a label without white space around it."""
    if isinstance(value, str) and value.isprintable() and value == value.strip() != "":
        return _bounded(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise InvalidValue(f"ids are strings: put {describe(value)} in quotes")
    found = label(value)
    if found != found.strip():
        raise InvalidValue(f"{quote(found)} has white space around it")
    return found


def flag(value: Any) -> bool:
    """Accept true or false, also as yes, no, 1 or 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (found := _FLAGS.get(value.strip().lower())) is not None:
        return found
    raise InvalidValue(f"expected true or false, got {describe(value)}")


def terms(value: Any) -> list[str]:
    """Accept terms that stay untranslated: a JSON list of strings, or `a;b`."""
    items = _listed(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        raise InvalidValue(f"expected a list of strings, got {describe(value)}")
    return [_term(item) for item in items]


def _listed(cell: str) -> list[Any]:
    if cell.startswith("["):
        try:
            found = orjson.loads(cell)
        except orjson.JSONDecodeError:
            pass  # a term may begin with a bracket
        else:
            return list(found)
    return [item.strip() for item in cell.split(SEPARATOR) if item.strip()]


def _term(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"expected a list of strings, got {describe(value)} in it")
    return value


def vtt(value: Any) -> None:
    """Accept the only caption type that there is; the API needs no value."""
    if value != "vtt":
        raise InvalidValue(f"expected vtt, got {describe(value)}")
