"""Converters: each takes a cell and returns the value in the API's type.

A cell is a string from CSV, or any JSON value; it is never empty. None means that the
column needs no value in the API. Every converter raises `InvalidValue` for a cell that it
does not accept.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import orjson

from batchcap.manifest.languages import SEPARATOR
from batchcap.manifest.messages import MAX_QUOTED, InvalidValue, describe, quote

MAX_ID = 255
"""Most characters of an id that the providers accept."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_QUOTES = re.compile("[\"'`\u00b4\u00ab\u00bb\u2018-\u201f\u2039\u203a\u300c-\u300f\uff02\uff07]")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?e[+-]\d+", re.IGNORECASE)
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\uffa0")
"""Characters without a shape that Unicode counts among letters, marks and symbols."""


def text(value: Any) -> str:
    """Accept any string, as it is.

    Raises:
        InvalidValue: The value is no string.
    """
    if isinstance(value, str):
        return value
    raise InvalidValue(f"expected a string, got {describe(value)}")


def label(value: Any) -> str:
    """Accept one line: at most `MAX_ID` characters, no control characters.

    Raises:
        InvalidValue: The value is anything else, or blank.
    """
    line = _bounded(text(value))
    if not line.isprintable() and _CONTROL.search(line):
        raise InvalidValue(f"{quote(line)} holds a control character")
    if not line.strip():
        raise InvalidValue("is blank")
    return line


def _bounded(value: str) -> str:
    if len(value) > MAX_ID:
        raise InvalidValue(f"{len(value)} characters, at most {MAX_ID} are possible")
    return value


def key(value: Any) -> str:
    """Accept the user's own id, a label, without the white space around it.

    Raises:
        InvalidValue: The value is anything else, or a number that a spreadsheet has rounded.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise InvalidValue(f"ids are strings: put {describe(value)} in quotes")
    line = label(value.strip() if isinstance(value, str) else value)
    if line[:1] in "+-0123456789" and _SCIENTIFIC.fullmatch(line):
        raise InvalidValue(
            f"{quote(line)} is a number that a spreadsheet has rounded; format the column as text"
        )
    return line


def identifier(value: Any) -> str:
    """Accept a provider's id: a key that no spreadsheet or text editor has changed.

    Raises:
        InvalidValue: The value is no id, or was changed: rounded, in quotation marks, or with
            invisible characters in it.
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isascii() and value.isalnum():
        return value
    name = key(value)
    if name.startswith("="):
        raise InvalidValue(f"{quote(name)} is a formula of a spreadsheet, not an id")
    if match := _QUOTES.search(name):
        raise InvalidValue(f"{quote(name)} holds the quotation mark {match.group()}")
    check_visible(name)
    if " " in name:
        raise InvalidValue(f"{quote(name)} holds a space, which no id has")
    return name


def check_visible(text: str) -> None:
    """Check that a text has no invisible characters other than spaces.

    Raises:
        InvalidValue: It does; the message has the character's code.
    """
    if invisible := next(filter(_is_invisible, text), None):
        code = f"U+{ord(invisible):04X}"
        raise InvalidValue(f"{ascii(text)[:MAX_QUOTED]} holds the invisible character {code}")


def _is_invisible(character: str) -> bool:
    return (
        character in _BLANK
        or unicodedata.category(character) in {"Cf", "Cc", "Zl", "Zp"}
        or "\ufe00" <= character <= "\ufe0f"
        or (character != " " and character.isspace())
    )


def flag(value: Any) -> bool:
    """Accept true or false, also as yes, no, 1 or 0.

    Raises:
        InvalidValue: The value is anything else.
    """
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise InvalidValue(f"expected true or false, got {describe(value)}")
    if (is_set := _FLAGS.get(value.strip().lower())) is None:
        raise InvalidValue(f"expected true or false (or yes, no, 1, 0), got {describe(value)}")
    return is_set


def terms(value: Any) -> list[str]:
    """Accept terms that stay untranslated: a JSON list of strings, or `a;b`.

    Raises:
        InvalidValue: The value is anything else.
    """
    items = _listed(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        raise InvalidValue(f"expected a list of strings, got {describe(value)}")
    return [_term(item) for item in items]


def _listed(cell: str) -> list[Any]:
    if cell.startswith("["):
        try:
            items = orjson.loads(cell)
        except orjson.JSONDecodeError:
            pass  # a term may begin with a bracket
        else:
            return list(items)
    return [item.strip() for item in cell.split(SEPARATOR) if item.strip()]


def _term(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"expected a list of strings, got {describe(value)} in it")
    return value


def vtt(value: Any) -> None:
    """Accept the only caption type that there is; the API needs no value.

    Raises:
        InvalidValue: The value is another type.
    """
    if value != "vtt":
        raise InvalidValue(f"expected vtt, got {describe(value)}")
