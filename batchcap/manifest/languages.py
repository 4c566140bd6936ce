"""Language tags (BCP 47), checked once for each distinct cell."""

from __future__ import annotations

import functools
import re
from typing import Any

from batchcap.manifest.messages import InvalidValue, describe, quote

SEPARATOR = ";"

_SYNTAX = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")


def tag(value: Any) -> str:
    """Accept one language tag, as given.

    Raises:
        InvalidValue: It is not a language tag.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"expected a language tag like 'es', got {describe(value)}")
    text = value.strip()
    if error := _error(text):
        raise InvalidValue(error)
    return text


def tags(value: Any) -> tuple[str, ...]:
    """Accept the tags of a cell (`es;pt-BR`) or of a JSON list, each once, in their order.

    Raises:
        InvalidValue: One or more are wrong; the message names all of them.
    """
    if isinstance(value, str):
        found, errors = _split(value)
    elif isinstance(value, list):
        found, errors = _distinct([tag_text(item) for item in value])
    else:
        raise InvalidValue(f"expected language tags, got {describe(value)}")
    if errors:
        raise InvalidValue(errors)
    if not found:
        raise InvalidValue("names no language")
    return found


def tag_text(value: Any) -> str:
    """Accept an item of a list of tags.

    Raises:
        InvalidValue: It is not a string.
    """
    if isinstance(value, str):
        return value
    raise InvalidValue(f"expected a list of language tags, got {describe(value)} in it")


@functools.lru_cache(maxsize=4096)
def _split(cell: str) -> tuple[tuple[str, ...], str]:
    return _distinct(cell.split(SEPARATOR))


def _distinct(texts: list[str]) -> tuple[tuple[str, ...], str]:
    """Return the distinct tags (`es` and `ES` are the same), and what is wrong with them."""
    found: dict[str, str] = {}
    for text in filter(None, map(str.strip, texts)):
        found.setdefault(text.lower(), text)
    return tuple(found.values()), ", ".join(filter(None, map(_error, found.values())))


@functools.lru_cache(maxsize=4096)
def _error(text: str) -> str:
    """Return what is wrong with a tag, "" if it is valid."""
    # Its data takes 50 ms to import, which `batchcap --help` need not pay.
    import langcodes

    if _SYNTAX.fullmatch(text) and langcodes.tag_is_valid(text):
        return ""
    return f"{quote(text)} is not a language tag{_hint(text)}"


def _hint(text: str) -> str:
    if "_" in text:
        return " (write it with a hyphen, like en-US)"
    if re.search(r"[,| ]", text):
        return f" (several are separated by {SEPARATOR!r})"
    return " (such as es or pt-BR)"
