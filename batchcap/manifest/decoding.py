"""Decodes bytes into lines of text, and reports the line of every byte that is not text."""

from __future__ import annotations

import codecs
import functools
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE = 4 * 1024 * 1024
"""Most characters of a line. A longer one is dropped unread, so that memory stays bounded."""

_BYTE = 0xDC00  # an undecodable byte travels as this lone surrogate plus its value
_LONE = re.compile("[\ud800-\udfff]")
_MARKING = "batchcap.mark"
_ENDINGS = ("\n", "\r")
_NUL = "a NUL byte (in UTF-16 text? then --encoding utf-16 reads it)"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Decode bad bytes as surrogates. Unlike surrogateescape, also bytes below 0x80 (UTF-16)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(_BYTE + byte) for byte in bad), error.end


codecs.register_error(_MARKING, _mark)


class Text:
    """The text of a stream, line by line.

    `first_line` is the first line that is not blank, "" if there is none. `line` counts
    the lines that were returned. `errors` has a (line, message) for each bad line since
    the caller last emptied it.

    Raises:
        LookupError: The encoding is unknown.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name
        self._text = io.TextIOWrapper(stream, encoding, errors=_MARKING, newline="")
        self._rest = functools.partial(self._text.readline, MAX_LINE)
        self._lines: deque[str] = deque()
        self.first_line = ""
        self.line = 0
        self.errors: list[tuple[int, str]] = []

    def open(self) -> None:
        """Read up to the first line that is not blank.

        Raises:
            OSError: The stream cannot be read.
        """
        while not self.first_line and (line := self._rest()):
            self._lines.append(line if self._lines else line.removeprefix("\ufeff"))
            if self._lines[-1].strip():
                self.first_line = self._lines[-1]

    def close(self) -> None:
        """Detach from the stream and leave it open."""
        self._text.detach()

    def lines(self) -> Iterator[str]:
        """Yield every line with its ending. A bad one is yielded too, and added to `errors`."""
        while line := self._next():
            self.line += 1
            if line.isascii() and "\0" not in line and len(line) < MAX_LINE:
                yield line
            else:
                yield self._checked(self.line, line)

    def read_all(self) -> str:
        """Return all of the text. If there is a bad byte, `errors` then has the first."""
        text = "".join(self._lines) + self._text.read()
        if not text.isascii() and (bad := _LONE.search(text)):
            self.errors.append((_line(text, bad.start()), self._undecodable(bad.group())))
        elif "\0" in text:
            self.errors.append((_line(text, text.index("\0")), _NUL))
        return text

    def _next(self) -> str:
        return self._lines.popleft() if self._lines else self._rest()

    def _checked(self, number: int, line: str) -> str:
        whole = line.endswith(_ENDINGS)
        if len(line) > MAX_LINE or (len(line) == MAX_LINE and not whole):
            while not whole and (piece := self._next()):
                whole = piece.endswith(_ENDINGS)
            self.errors.append((number, f"a line of more than {MAX_LINE:,} characters"))
            return "\n"
        if bad := _LONE.search(line):
            self.errors.append((number, self._undecodable(bad.group())))
        elif "\0" in line:
            self.errors.append((number, _NUL))
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
