"""Where a caption goes: the template of --name, and what a path must not do.

A path is relative, with "/", and stays below the output folder on every system
that somebody may copy that folder to.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from typing import Any

import msgspec

from batchcap.manifest.problems import Wrong, described, shown

MAX_PART = 255
"""Bytes of a file or folder name that file systems take."""
MAX_PATH = 1024
"""Bytes of a path that every system takes."""

LEDGER_FOLDER = ".batchcap"
RESULTS = "results.jsonl"

PLAIN = frozenset({"provider", "source_id", "language", "key"})
"""The fields that every row has, each of them text."""

_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])"
_RESERVED = re.compile(rf"{_DEVICE} *(?:\..*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")
# The names of most files, sound on sight: reserved ones have at most four letters before the dot.
_SOUND = re.compile(r"[A-Za-z0-9_-]{5,99}(?:\.[A-Za-z0-9_-]{1,40}){0,3}")


def safe(path: str) -> str:
    """`path` itself, where it is a file below the output folder.

    Raises `Wrong` where it leaves the folder, takes a name that batchcap uses
    itself, or cannot exist on Linux, macOS or Windows.
    """
    folder, _, name = path.rpartition("/")
    if folder and _SOUND.fullmatch(name) and _folder_sound(folder):
        return path
    if flaw := _flaw(path):
        raise Wrong(f"the path {shown(path)} {flaw}")
    return path


@functools.lru_cache(maxsize=1024)
def _folder_sound(folder: str) -> bool:
    return len(folder.encode()) < MAX_PATH // 2 and not _flaw(folder)


def _flaw(path: str) -> str:
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    if "\\" in path:
        return "holds a backslash (folders are separated by '/')"
    if _CONTROL.search(path):
        return "holds a control character"
    if len(path.encode()) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes"
    parts = path.split("/")
    if (top := parts[0].lower()) in (LEDGER_FOLDER, RESULTS):
        return f"takes the place of batchcap's own {top}"
    return next(filter(None, map(_part_flaw, parts)), "")


def _part_flaw(part: str) -> str:
    if not part:
        return "has an empty part"
    if part == "..":
        return "leaves the output folder"
    if part.endswith((".", " ")):
        return f"has the part {shown(part)}, which ends in a dot or a space"
    if len(part.encode()) > MAX_PART:
        return f"has a part of more than {MAX_PART} bytes"
    if _RESERVED.fullmatch(part):
        return f"has the part {shown(part)}, a name reserved on Windows"
    return ""


class Template(msgspec.Struct, frozen=True):
    """A path with `{fields}`, ready to be filled in.

    `names` are its fields in their order; in a `plain` one they are all among
    `PLAIN`, and `pattern` takes them by name, else by position. `bare` is the
    same template for a row without language: there `.{language}` falls away.
    """

    pattern: str
    names: tuple[str, ...]
    plain: bool
    bare: Template | None = None

    def fill(self, fields: Mapping[str, Any]) -> str:
        """The path of the row with these fields.

        Raises `Wrong` where the row lacks a field, where a field is no text,
        and where the path is not `safe`.
        """
        if self.bare and fields["language"] is None:
            return self.bare.fill(fields)
        if self.plain:
            return safe(self.pattern % fields)
        try:
            values = [fields[name] for name in self.names]
        except KeyError as missing:
            raise Wrong(f"the row has no column {shown(missing.args[0])} to fill in") from None
        return safe(self.pattern % tuple(map(_text, self.names, values)))


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise Wrong(f"{shown(name)} is {described(value)}, which is no part of a path")


@functools.lru_cache(maxsize=256)
def template(text: str) -> Template:
    """Compiles a template. Raises `Wrong` where its braces make no sense."""
    bare = text.replace(".{language}", "").replace("{language}", "")
    return _compiled(text, _compiled(bare) if bare != text else None)


def _compiled(text: str, bare: Template | None = None) -> Template:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise Wrong(f"{shown(text)}: {error} (a brace itself is written twice)") from None
    if any(field is not None and (not field or spec or how) for _, field, spec, how in pieces):
        raise Wrong(f"{shown(text)}: between braces goes the name of a column, nothing else")
    names = tuple(field for _, field, _, _ in pieces if field is not None)
    plain = PLAIN.issuperset(names)
    pattern = ""
    for literal, field, _, _ in pieces:
        pattern += literal.replace("%", "%%")
        if field is not None:
            pattern += f"%({field})s" if plain else "%s"
    return Template(pattern, names, plain, bare)


def check(text: str) -> Template:
    """The template of --name, tried with every field filled in.

    Raises `Wrong` where no row could make a path of it.
    """
    found = template(text)
    found.fill(dict.fromkeys((*found.names, "language"), "x"))
    return found
