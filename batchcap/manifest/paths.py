"""The path of a caption: the template of --name, and the checks of a path.

A path is relative, with "/". It stays below the output folder on Linux, macOS and Windows,
so that the folder can be copied between them. Of characters that Windows refuses, a field's
become "_"; those that the user wrote into the template are an error.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from typing import Any

import msgspec

from batchcap.manifest.messages import InvalidValue, describe, quote

MAX_PART = 255
"""Most bytes of a file or folder name that file systems accept."""
MAX_PATH = 1024
"""Most bytes of a path that every system accepts."""

LEDGER_FOLDER = ".batchcap"
RESULTS = "results.jsonl"

PLAIN = frozenset({"provider", "source_id", "language", "key"})
"""The fields that every row has, each of them text."""

_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])"
_RESERVED = re.compile(rf"{_DEVICE} *(?:\..*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")
_FORBIDDEN = re.compile(r'[:*?"<>|]')
"""Characters that Windows and SMB refuse in a name (`/` and `\\` separate folders there)."""
_SURROGATE = re.compile("[\ud800-\udfff]")
# The names of most files. Reserved names have at most four letters before the dot.
_VALID_NAME = re.compile(r"[A-Za-z0-9_-]{5,99}(?:\.[A-Za-z0-9_-]{1,40}){0,3}")


def safe(path: str) -> str:
    """Return `path` if it is a file below the output folder.

    Raises:
        InvalidValue: It leaves the folder, is a name that batchcap uses itself, or cannot
            exist on Linux, macOS or Windows.
    """
    folder, _, name = path.rpartition("/")
    if folder and _VALID_NAME.fullmatch(name) and _is_valid_folder(folder):
        return path
    if error := _error(path):
        raise InvalidValue(f"the path {quote(path)} {error}")
    return path


@functools.lru_cache(maxsize=1024)
def _is_valid_folder(folder: str) -> bool:
    return len(folder.encode()) < MAX_PATH // 2 and not _error(folder)


def _error(path: str) -> str:
    if error := _character_error(path):
        return error
    if len(path.encode()) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes"
    parts = path.split("/")
    if (top := parts[0].lower()) in (LEDGER_FOLDER, RESULTS):
        return f"takes the place of batchcap's own {top}"
    return next(filter(None, map(_part_error, parts)), "")


def _character_error(path: str) -> str:
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    if "\\" in path:
        return "holds a backslash (folders are separated by '/')"
    if match := _FORBIDDEN.search(path):
        return f"holds {match.group()}, which Windows and network drives refuse"
    if _SURROGATE.search(path):
        return "holds bytes that are not UTF-8"
    return "holds a control character" if _CONTROL.search(path) else ""


def _part_error(part: str) -> str:
    if not part:
        return "has an empty part"
    if part == "..":
        return "leaves the output folder"
    if part.endswith((".", " ")):
        return f"has the part {quote(part)}, which ends in a dot or a space"
    if len(part.encode()) > MAX_PART:
        return f"has a part of more than {MAX_PART} bytes"
    if _RESERVED.fullmatch(part):
        return f"has the part {quote(part)}, a name reserved on Windows"
    return ""


class Template(msgspec.Struct, frozen=True):
    """A path with `{fields}`, ready to be filled in.

    `names` are its fields in their order. If `plain`, they are all among `PLAIN`, and
    `pattern` takes them by name, else by position. `without_language` is the same template
    for a row without language, without `.{language}`.
    """

    pattern: str
    names: tuple[str, ...]
    plain: bool
    without_language: Template | None = None

    def fill(self, fields: Mapping[str, Any]) -> str:
        """Return the path of the row with these fields.

        Raises:
            InvalidValue: The row lacks a field, a field is not text, or the path is not
                `safe`.
        """
        if self.without_language and fields["language"] is None:
            return self.without_language.fill(fields)
        if self.plain:
            path = self.pattern % fields
            if not _FORBIDDEN.search(path):
                return safe(path)
            values = [fields[name] for name in self.names]
            return safe(self.pattern % dict(zip(self.names, map(_portable, values), strict=True)))
        try:
            values = [fields[name] for name in self.names]
        except KeyError as missing:
            raise InvalidValue(
                f"the row has no column {quote(missing.args[0])} to fill in"
            ) from None
        return safe(self.pattern % tuple(map(_text, self.names, values)))


def _portable(value: Any) -> str:
    """Return text with "_" in place of each character that Windows refuses."""
    return _FORBIDDEN.sub("_", str(value))


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return _portable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise InvalidValue(f"{quote(name)} is {describe(value)}, which is no part of a path")


@functools.lru_cache(maxsize=256)
def template(text: str) -> Template:
    """Compile a template.

    Raises:
        InvalidValue: Its braces are not balanced, or hold more than a column's name.
    """
    without_language = text.replace(".{language}", "").replace("{language}", "")
    return _compiled(text, _compiled(without_language) if without_language != text else None)


def _compiled(text: str, without_language: Template | None = None) -> Template:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise InvalidValue(f"{quote(text)}: {error} (a brace itself is written twice)") from None
    if any(field is not None and (not field or spec or how) for _, field, spec, how in pieces):
        raise InvalidValue(f"{quote(text)}: between braces goes the name of a column, nothing else")
    names = tuple(field for _, field, _, _ in pieces if field is not None)
    plain = PLAIN.issuperset(names)
    pattern = ""
    for literal, field, _, _ in pieces:
        pattern += literal.replace("%", "%%")
        if field is not None:
            pattern += f"%({field})s" if plain else "%s"
    return Template(pattern, names, plain, without_language)


def check(text: str) -> Template:
    """Compile the template of --name, and try it with every field filled in.

    Raises:
        InvalidValue: No row could make a path of it.
    """
    compiled = template(text)
    compiled.fill(dict.fromkeys((*compiled.names, "language"), "x"))
    return compiled
