"""Language tags: BCP 47, checked once for each distinct cell."""

from __future__ import annotations

import functools
import re
from typing import Any

from batchcap.manifest.problems import Wrong, described, shown

SEPARATOR = ";"

_SYNTAX = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")


def tag(value: Any) -> str:
    """One language tag, as given.

    Raises `Wrong` where it is none.
    """
    if not isinstance(value, str):
        raise Wrong(f"expected a language tag like 'es', got {described(value)}")
    text = value.strip()
    if flaw := _flaw(text):
        raise Wrong(flaw)
    return text


def tags(value: Any) -> tuple[str, ...]:
    """The tags of a cell (`es;pt-BR`) or of a JSON list, each once, in the order given.

    Raises `Wrong` with everything that is wrong with them.
    """
    if isinstance(value, str):
        found, flaws = _split(value)
    elif isinstance(value, list):
        found, flaws = _distinct([tag_text(item) for item in value])
    else:
        raise Wrong(f"expected language tags, got {described(value)}")
    if flaws:
        raise Wrong(flaws)
    if not found:
        raise Wrong("names no language")
    return found


def tag_text(value: Any) -> str:
    """An item of a list of tags. Raises `Wrong` where it is no string."""
    if isinstance(value, str):
        return value
    raise Wrong(f"expected a list of language tags, got {described(value)} in it")


@functools.lru_cache(maxsize=4096)
def _split(cell: str) -> tuple[tuple[str, ...], str]:
    return _distinct(cell.split(SEPARATOR))


def _distinct(texts: list[str]) -> tuple[tuple[str, ...], str]:
    """The tags without repetitions (`es` and `ES` are one), and what is wrong with them."""
    found: dict[str, str] = {}
    for text in filter(None, map(str.strip, texts)):
        found.setdefault(text.lower(), text)
    return tuple(found.values()), ", ".join(filter(None, map(_flaw, found.values())))


@functools.lru_cache(maxsize=4096)
def _flaw(text: str) -> str:
    """What is wrong with a tag; "" where nothing is."""
    # Its data takes 50 ms to import, which `batchcap --help` need not pay.
    import langcodes

    if _SYNTAX.fullmatch(text) and langcodes.tag_is_valid(text):
        return ""
    return f"{shown(text)} is not a language tag{_hint(text)}"


def _hint(text: str) -> str:
    if "_" in text:
        return " (write it with a hyphen, like en-US)"
    if re.search(r"[,| ]", text):
        return f" (several are separated by {SEPARATOR!r})"
    return " (such as es or pt-BR)"
