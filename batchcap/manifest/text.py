"""From bytes to lines of text, with the line of every byte that is none."""

from __future__ import annotations

import codecs
import functools
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE = 4 * 1024 * 1024
"""Characters of a line; what is longer is dropped unread, so that memory stays bounded."""

_BYTE = 0xDC00  # an undecodable byte travels as this lone surrogate plus its value
_LONE = re.compile("[\ud800-\udfff]")
_MARKING = "batchcap.mark"
_ENDINGS = ("\n", "\r")
_NUL = "a NUL byte (in UTF-16 text? then --encoding utf-16 reads it)"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Unlike surrogateescape, takes bytes below 0x80 too, which UTF-16 needs."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(_BYTE + byte) for byte in bad), error.end


codecs.register_error(_MARKING, _mark)


class Text:
    """The text of a stream, line by line.

    `head` is its first line that is not blank, "" where there is none. `line`
    counts the lines given out. `faults` are (line, message) of what was wrong
    with them since the caller last emptied it. Raises `LookupError` for an
    unknown encoding.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name
        self._text = io.TextIOWrapper(stream, encoding, errors=_MARKING, newline="")
        self._rest = functools.partial(self._text.readline, MAX_LINE)
        self._lines: deque[str] = deque()
        self.head = ""
        self.line = 0
        self.faults: list[tuple[int, str]] = []

    def open(self) -> None:
        """Reads up to the head. Raises `OSError`."""
        while not self.head and (line := self._rest()):
            self._lines.append(line if self._lines else line.removeprefix("\ufeff"))
            if self._lines[-1].strip():
                self.head = self._lines[-1]

    def close(self) -> None:
        """Lets go of the stream and leaves it open."""
        self._text.detach()

    def lines(self) -> Iterator[str]:
        """Every line with its ending; a faulty one is told in `faults` and given out too."""
        while line := self._next():
            self.line += 1
            if line.isascii() and "\0" not in line and len(line) < MAX_LINE:
                yield line
            else:
                yield self._examined(self.line, line)

    def whole(self) -> str:
        """All of the text; `faults` then holds the first fault."""
        text = "".join(self._lines) + self._text.read()
        if not text.isascii() and (bad := _LONE.search(text)):
            self.faults.append((_line(text, bad.start()), self._undecodable(bad.group())))
        elif "\0" in text:
            self.faults.append((_line(text, text.index("\0")), _NUL))
        return text

    def _next(self) -> str:
        return self._lines.popleft() if self._lines else self._rest()

    def _examined(self, number: int, line: str) -> str:
        whole = line.endswith(_ENDINGS)
        if len(line) > MAX_LINE or (len(line) == MAX_LINE and not whole):
            while not whole and (piece := self._next()):
                whole = piece.endswith(_ENDINGS)
            self.faults.append((number, f"a line of more than {MAX_LINE:,} characters"))
            return "\n"
        if bad := _LONE.search(line):
            self.faults.append((number, self._undecodable(bad.group())))
        elif "\0" in line:
            self.faults.append((number, _NUL))
        return line

    def _undecodable(self, marked: str) -> str:
        byte = ord(marked) - _BYTE
        guess = "utf-16" if byte in (0xFE, 0xFF) else "cp1252"
        return (
            f"not {self._encoding.upper()} (byte 0x{byte & 0xFF:02x}); "
            f"name the file's encoding with --encoding, such as --encoding {guess}"
        )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
