"""Decodes bytes into lines of text, and reports the line of every byte that is not text.

The encoding is that of --encoding, with or without a byte order mark. UTF-16 and UTF-32
without a mark are recognised by the zeros of their first characters.
"""

from __future__ import annotations

import codecs
import functools
import io
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from batchcap.manifest.messages import FileProblem

MAX_LINE = 4 * 1024 * 1024
"""Most characters of a line. A longer one is dropped unread, so that memory stays bounded."""

_CHUNK = 64 * 1024
_BYTE = 0xDC00  # an undecodable byte travels as this lone surrogate plus its value
_LONE = re.compile("[\ud800-\udfff]")
_MARKING = "batchcap.mark"
_ENDINGS = ("\n", "\r")
DELIMITERS = ' \t\r\n\v\f,;|"\ufeff'
"""A line of these alone is a blank one, as spreadsheets write it."""
_HEAD = 128
"""Bytes that show what a file is: the name of the first file of an archive begins at 30."""
_MARKS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (codecs.BOM_UTF32_LE, ("utf-32", "utf-32-le")),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, ("utf-32", "utf-32-be")),
    (codecs.BOM_UTF16_LE, ("utf-16", "utf-16-le")),
    (codecs.BOM_UTF16_BE, ("utf-16", "utf-16-be")),
    (codecs.BOM_UTF8, ("utf-8", "utf-8-sig")),
)
"""Byte order marks, and the encodings whose files may begin with them."""
_ZEROS: Mapping[str, Mapping[tuple[bool, ...], str]] = {
    "utf-16": {(False, True): "utf-16-le", (True, False): "utf-16-be"},
    "utf-32": {(False, True, True, True): "utf-32-le", (True, True, True, False): "utf-32-be"},
}
"""Which of the first bytes are zero in the two orders of an encoding."""
_BINARY = (
    (rb"\x1f\x8b", "gzip"),
    (rb"BZh[1-9]1AY&SY", "bzip2"),
    (rb"\xfd7zXZ\x00", "xz"),
    (rb"\x28\xb5\x2f\xfd", "zstd"),
    (rb"7z\xbc\xaf\x27\x1c", "7z"),
)
_BINARY_HINT = (
    "the file is compressed ({}); decompress it first, such as: gzip -dc FILE | batchcap run -"
)
_WORKBOOK = re.compile(
    rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|xl/|docProps/"
    rb"|mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet)"
    rb"|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    re.DOTALL,
)
"""The first bytes of .xlsx, .ods and .xls files."""
_DOCUMENTS = (
    (rb"PK\x03\x04.{26}mimetype", "a document of LibreOffice"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"%PDF-", "a PDF"),
    (rb"SQLite format 3\x00", "an SQLite database"),
)
"""What is no text, by its first bytes."""
_NUL = "a NUL byte (in UTF-16 text? then --encoding utf-16 reads it)"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Decode bad bytes as surrogates. Unlike surrogateescape, also bytes below 0x80 (UTF-16)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(_BYTE + byte) for byte in bad), error.end


codecs.register_error(_MARKING, _mark)


def check_encoding(encoding: str) -> None:
    """Check that an encoding is one of text, and can decode whatever bytes there are.

    Raises:
        ValueError: It is not.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
        codecs.getincrementaldecoder(encoding)(_MARKING).decode("asset_id,".encode(encoding))
    except (LookupError, ValueError) as error:
        raise ValueError(str(error)) from None


class NotTextError(ValueError):
    """The first bytes of a file are not those of text in its encoding."""


class WorkbookFound(Exception):
    """A file is a workbook of a spreadsheet; `head` was read of it."""

    def __init__(self, head: bytes) -> None:
        self.head = head


class Text:
    """The text of a stream, line by line.

    `first_line` is the first line that is not blank, "" if there is none (a line of nothing
    but delimiters is blank). `line` counts
    the lines that were returned. `errors` has a (line, message) for each bad line since
    the caller last emptied it.

    Raises:
        OSError: The stream cannot be read.
        NotTextError: The first bytes do not fit the encoding.
        WorkbookFound: They are those of a workbook.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name
        head = _read_head(stream)
        _refuse_binary(head)
        actual = _encoding_of(head, self._encoding)
        rejoined = io.BufferedReader(_Rejoined(head, stream), _CHUNK)
        self._text = io.TextIOWrapper(rejoined, actual, errors=_MARKING, newline="")
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
            self._lines.append(line if self._lines else line.lstrip("\ufeff"))
            if self._lines[-1].strip(DELIMITERS):
                self.first_line = self._lines[-1]

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
        return FileProblem(
            f"not {self._encoding.upper()} (byte 0x{byte & 0xFF:02x}); "
            f"name the file's encoding with --encoding, such as --encoding {guess}"
        )


class _Rejoined(io.RawIOBase):
    """A stream with the bytes that were read ahead put back. The stream stays open."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._read(len(buffer))
        self._head = b""
        buffer[: len(data)] = data
        return len(data)


def _read_head(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < _HEAD and (data := stream.read(_HEAD - len(head))):
        head += data
    return head


def _refuse_binary(head: bytes) -> None:
    if _WORKBOOK.match(head):
        raise WorkbookFound(head)
    for magic, name in _BINARY:
        if re.match(magic, head):
            raise NotTextError(_BINARY_HINT.format(name))
    for magic, name in _DOCUMENTS:
        if re.match(magic, head, re.DOTALL):
            raise NotTextError(f"the file is {name}; export it as CSV in UTF-8")


def _encoding_of(head: bytes, encoding: str) -> str:
    """Return the encoding that the first bytes of a file show, given its name by the user."""
    marked = [names for mark, names in _MARKS if head.startswith(mark)]
    if any(encoding in names for names in marked):
        return encoding
    if marked:
        name = marked[0][0]
        raise NotTextError(
            f"not {encoding.upper()}: the file begins with the byte order mark of {name.upper()}; "
            f"read it with --encoding {name}"
        )
    if not head or encoding not in _ZEROS:
        return encoding
    zeros = tuple(byte == 0 for byte in head[:4])
    for order, name in _ZEROS[encoding].items():
        if zeros[: len(order)] == order:
            return name
    raise NotTextError(
        f"no byte order mark of {encoding.upper()}; read the file with --encoding {encoding}-le "
        f"or {encoding}-be, or with its own encoding, such as utf-8"
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
