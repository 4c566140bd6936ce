"""What a cell may hold: each kind takes a cell and gives the value in the API's type.

A cell is a string from CSV, or any JSON value; it is never empty. `None` means
that there is nothing to hand on. A kind raises `Wrong` for what it does not take.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchcap.manifest.languages import SEPARATOR
from batchcap.manifest.problems import Wrong, described, shown

MAX_ID = 255
"""Characters of an id; the providers take no longer ones."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def text(value: Any) -> str:
    """Any string, as it is."""
    if isinstance(value, str):
        return value
    raise Wrong(f"expected a string, got {described(value)}")


def label(value: Any) -> str:
    """A string that fits on one line: at most `MAX_ID` characters, no control characters."""
    found = _bounded(text(value))
    if not found.isprintable() and _CONTROL.search(found):
        raise Wrong(f"{shown(found)} holds a control character")
    if not found.strip():
        raise Wrong("is blank")
    return found


def _bounded(value: str) -> str:
    if len(value) > MAX_ID:
        raise Wrong(f"{len(value)} characters, at most {MAX_ID} are possible")
    return value


def identifier(value: Any) -> str:
    """An id: a label without white space around it."""
    if isinstance(value, str) and value.isprintable() and value == value.strip() != "":
        return _bounded(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong(f"ids are strings: put {described(value)} in quotes")
    found = label(value)
    if found != found.strip():
        raise Wrong(f"{shown(found)} has white space around it")
    return found


def flag(value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (found := _FLAGS.get(value.strip().lower())) is not None:
        return found
    raise Wrong(f"expected true or false, got {described(value)}")


def terms(value: Any) -> list[str]:
    """Terms that stay untranslated: a JSON list of strings, or `a;b`."""
    items = _listed(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        raise Wrong(f"expected a list of strings, got {described(value)}")
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
        raise Wrong(f"expected a list of strings, got {described(value)} in it")
    return value


def vtt(value: Any) -> None:
    """The one caption type that there is; nothing to hand on."""
    if value != "vtt":
        raise Wrong(f"expected vtt, got {described(value)}")
