"""The path of a caption: the template of --name, and the checks of a path.

A path is relative, with "/". It stays below the output folder on Linux, macOS and Windows,
so that the folder can be copied between them. What a file's name cannot have becomes "_" if
it comes from a column, "/" too; in the template, it is an error, and "/" makes a folder.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
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
_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029]')
_OTHER_FORMATS = re.compile(
    r"\.(?:srt|ttml|dfxp|ass|ssa|sbv|sub|stl|scc|smi|itt|usf)", re.IGNORECASE
)
"""Extensions of caption files that are no WebVTT."""
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
    `pattern` takes them by name, else by position. `with_fields` tells of each part of the
    path whether it has a field. `without_language` is the same template for a row without
    language, without `.{language}`.
    """

    pattern: str
    names: tuple[str, ...]
    plain: bool
    with_fields: tuple[bool, ...]
    without_language: Template | None = None

    def fill(self, fields: Mapping[str, Any]) -> str:
        """Return the path of the row with these fields, which make no folders.

        Raises:
            InvalidValue: The row lacks a field, a field is not text, or the path is not
                `safe`.
        """
        if self.without_language and fields["language"] is None:
            return self.without_language.fill(fields)
        if self.plain:
            path = self.pattern % fields
            if self._is_portable(path):
                return path
        try:
            values = [_text(name, fields[name]) for name in self.names]
        except KeyError as missing:
            raise InvalidValue(
                f"the row has no column {quote(missing.args[0])} to fill in"
            ) from None
        path = self._filled(values)
        return path if self._is_portable(path) else safe(self._repaired(values))

    def _is_portable(self, path: str) -> bool:
        """Return whether a filled path is certainly safe, and no field has made a folder."""
        folder, _, name = path.rpartition("/")
        return (
            path.isascii()
            and path.count("/") + 1 == len(self.with_fields)
            and _VALID_NAME.fullmatch(name) is not None
            and (_is_valid_folder(folder) if folder else name.lower() != RESULTS)
        )

    def _repaired(self, values: Sequence[str]) -> str:
        """Return the path with values that are safe, the user's own columns cut if they must be."""
        values = [portable(value) for value in values]
        path = self._filled(values)
        if _excess(path) > 0:
            path = self._filled(self._cut(values))
        parts = zip(path.split("/"), self.with_fields, strict=True)
        return "/".join(_repaired(part) if has_field else part for part, has_field in parts)

    def _filled(self, values: Sequence[str]) -> str:
        pairs = dict(zip(self.names, values, strict=True))
        path = self.pattern % (pairs if self.plain else tuple(values))
        return path if path.isascii() else unicodedata.normalize("NFC", path)

    def _cut(self, values: Sequence[str]) -> list[str]:
        """Return values of which the user's own, the longest first, are cut until the parts fit."""
        cut = list(values)
        own = [place for place, name in enumerate(self.names) if name not in PLAIN]
        for place in sorted(own, key=lambda place: -len(values[place].encode())):
            if (excess := _excess(self._filled(cut))) > 0:
                text = cut[place].encode()
                text = text[: max(0, len(text) - excess)]
                cut[place] = text.decode(errors="ignore").rstrip(". ") or "_"
        return cut


def _excess(path: str) -> int:
    """Return by how many bytes the longest part of a path is too long."""
    return max(len(part.encode(errors="replace")) for part in path.split("/")) - MAX_PART


def portable(value: str) -> str:
    """Return text that may be part of a file's name on every system, and makes no folder."""
    clean = _NOT_IN_NAMES.sub("_", value)
    clean = clean if clean.isascii() else unicodedata.normalize("NFC", clean)
    return clean.strip().rstrip(". ") or "_"


def _repaired(part: str) -> str:
    """Return a part that a field has made reserved, or left with a dot or a space at the end."""
    part = part.rstrip(". ") or "_"
    return f"_{part}" if _RESERVED.fullmatch(part) else part


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
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
    if match := _OTHER_FORMATS.fullmatch(text, max(0, text.rfind("."))):
        raise InvalidValue(f"{quote(text)}: the file is WebVTT, not {match.group()[1:].upper()}")
    names = tuple(field for _, field, _, _ in pieces if field is not None)
    plain = PLAIN.issuperset(names)
    pattern, with_fields = "", [False]
    for literal, field, _, _ in pieces:
        pattern += literal.replace("%", "%%")
        with_fields += [False] * literal.count("/")
        if field is not None:
            pattern += f"%({field})s" if plain else "%s"
            with_fields[-1] = True
    return Template(pattern, names, plain, tuple(with_fields), without_language)


def check(text: str) -> Template:
    """Compile the template of --name, and try it with every field filled in.

    Raises:
        InvalidValue: No row could make a path of it.
    """
    compiled = template(text)
    compiled.fill(dict.fromkeys((*compiled.names, "language"), "x"))
    return compiled
