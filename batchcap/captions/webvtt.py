"""Checks that bytes are WebVTT, and reads their cues, by the rules of a player's parser.

The parser of the WebVTT specification (W3C, section 6) decides what is a file and what is
a cue, so that no caption is refused that a browser shows. Its rules come down to two:
the file begins with the line `WEBVTT`, and every later line with an arrow that begins with
a timing is a cue. Such a line ends whatever block it stands in, and any other line with an
arrow is dropped. Cues without text and cues that end before they start are cues too, though
no player shows them.

Browsers read UTF-16 too, if it has a byte order mark; the specification does not.

A file without a cue is accepted if it holds only header, NOTE, STYLE and REGION blocks, like
the file of a silent video. Whether a file is whole is known from HTTP, not from its text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import msgspec

from batchcap.domain.errors import BadCaption

MAX_LINE = 1024 * 1024
"""Bytes of the longest line. No line of a real caption comes near it."""

_OPENING = 2048  # bytes to wait for before saying what the file is
_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ARROW = b"-->"
_AFTER_SIGNATURE = frozenset({" ", "\t", "\n"})
_HEADER = re.compile(rb"WEBVTT(?=[ \t\n]|\Z)")
# Possessive quantifiers: no part of a line is tried twice, which saves a quarter of a check.
_TIME = rb"(?:\d++:[0-5]\d|[0-5]\d):[0-5]\d\.\d{3}(?!\d)"
_CUE = re.compile(rb"\n[ \t\f]*+%b[ \t\f]*+-->[ \t\f]*+%b" % (_TIME, _TIME))
_TIMES = re.compile(
    r"[ \t\f]*+%s[ \t\f]*+-->[ \t\f]*+%s[ \t\f]*+"
    % ((r"(?:(\d++):)?([0-5]\d):([0-5]\d)\.(\d{3})(?!\d)",) * 2),
    re.ASCII,
)
_NO_TEXT = re.compile(rb"(?:NOTE|STYLE|REGION)(?=[ \t]|\Z)|\Z")
_ERROR_CODE = re.compile(rb"<Code>(\w{1,60})</Code>")


class Cue(msgspec.Struct, frozen=True, gc=False):
    """One cue of a file. `start` and `end` are in milliseconds.

    `settings` and `text` are as in the file, with markup and character references. `text` has
    "\\n" between its lines. `identifier` is "" if the cue has none.
    """

    start: int
    end: int
    text: str
    identifier: str = ""
    settings: str = ""


def cues(data: bytes) -> Iterator[Cue]:
    """Yield the cues that a parser keeps of a WebVTT file, in the order of the file.

    There are as many as `check` counts. Bytes that are not UTF-8 become U+FFFD, and so does NUL.

    Raises:
        BadCaption: The file does not begin with the line `WEBVTT`. Raised at the first cue.
    """
    text = decoded(data)
    if text[:6] != "WEBVTT" or text[6:7] not in _AFTER_SIGNATURE:
        check(data)  # which says why not
    begin, arrow = _next_arrow(text, text.find("\n"))  # one in the first line is no timing
    while arrow >= 0:
        times, identifier = _TIMES.match(text, begin + 1), _identifier(text, begin)
        end = text.find("\n", arrow)
        begin, arrow = _next_arrow(text, end)
        if times:
            blank = text.find("\n\n", end, begin + 1)
            stamps = times.groups()
            yield Cue(
                _milliseconds(*stamps[:4]),
                _milliseconds(*stamps[4:]),
                text[end + 1 : blank if blank >= 0 else begin],
                identifier,
                text[times.end() : end],
            )


def decoded(data: bytes) -> str:
    """Return a file's text with LF as its only line end, and two of them at its end."""
    encoding = "utf-16" if is_utf_16(data) else "utf-8-sig"
    text = data.decode(encoding, "replace").replace("\0", "\ufffd")
    return text.replace("\r\n", "\n").replace("\r", "\n") + "\n\n"


def _next_arrow(text: str, start: int) -> tuple[int, int]:
    """Return the line end before the next line with an arrow, and the place of the arrow.

    Without one, these are the end of the text and -1.
    """
    arrow = text.find("-->", start)
    return (len(text), -1) if arrow < 0 else (text.rfind("\n", 0, arrow), arrow)


def _identifier(text: str, end: int) -> str:
    """Return the line that ends at `end` if it is the first one of its block, else "".

    A line with an arrow is no identifier, but a timing, be it a wrong one.
    """
    begin = text.rfind("\n", 0, end)
    is_first = begin > 0 and text[begin - 1] == "\n"
    return text[begin + 1 : end] if is_first and text.find("-->", begin, end) < 0 else ""


def _milliseconds(hours: str | None, minutes: str, seconds: str, rest: str) -> int:
    total = int(minutes) * 60_000 + int(seconds + rest)
    if not hours or hours == "00":
        return total
    # Python refuses to read thousands of digits, which a parser of the specification takes.
    return total + int(hours.lstrip("0")[:9] or 0) * 3_600_000


def is_utf_16(data: bytes) -> bool:
    """Return whether a file is UTF-16 by its byte order mark."""
    return data.startswith(_UTF_16_BOMS)


def check(data: bytes) -> int:
    """Return the number of cues that a parser keeps of a WebVTT file.

    Raises:
        BadCaption: It is not WebVTT, or has content but not a single cue.
    """
    validator = Validator()
    validator.feed(data)
    return validator.finish()


class Validator:
    """Checks a file that comes in chunks. The verdict does not depend on the chunks.

    Holds one chunk and one unfinished line, never the file. After `feed` or `finish`
    raised `BadCaption`, the object must not be used again.
    """

    def __init__(self) -> None:
        self._waiting = b""  # the beginning of a line whose end has not arrived
        self._has_header = False
        self._decoder: codecs.IncrementalDecoder | None = None  # of UTF-16
        self._cues = 0
        self._block = b""  # the first line of the current block
        self._has_content = False

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes of the file.

        Raises:
            BadCaption: The file is not WebVTT, or one of its lines is longer than `MAX_LINE`.
        """
        if self._decoder is not None:
            chunk = self._decoder.decode(chunk).encode()
        data = self._waiting + chunk if self._waiting else chunk
        if not self._has_header:
            if len(data) < _OPENING:
                self._waiting = data
                return
            data = self._decoded(data)
        # A CR at the end may be half of a CRLF: it waits for the next byte.
        held = b"\r" if data.endswith(b"\r") else b""
        self._take(data[: len(data) - len(held)], held)

    def finish(self) -> int:
        """Return the number of cues. Call it once the file has ended.

        Raises:
            BadCaption: The file is not WebVTT, or has content but not a single cue.
        """
        rest = self._waiting if self._has_header else self._decoded(self._waiting)
        if self._decoder is not None:
            rest += self._decoder.decode(b"", final=True).encode()
        self._take(rest + b"\n", b"")
        if self._has_content and not self._cues:
            raise BadCaption("WebVTT without a single cue")
        return self._cues

    def _decoded(self, opening: bytes) -> bytes:
        """Return the beginning of the file as UTF-8."""
        if not is_utf_16(opening):
            return opening
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        return self._decoder.decode(opening).encode()

    def _take(self, data: bytes, held: bytes) -> None:
        """Check the complete lines; the rest, with `held` behind it, waits for the next chunk."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._has_header:
            data = self._open(data)
        if len(data) > MAX_LINE and len(max(data.split(b"\n"), key=len)) > MAX_LINE:
            raise BadCaption(f"a line is longer than {MAX_LINE:,} bytes")
        end = max(0, data.rfind(b"\n"))  # a line is taken with the line end before it
        lines, self._waiting = data[:end], data[end:] + held
        self._cues += len(_CUE.findall(lines))
        if lines and not self._cues:
            self._find_content(lines.removeprefix(b"\n"))

    def _open(self, data: bytes) -> bytes:
        """Check the header, and return the file without its byte order mark."""
        if self._decoder is None:  # a decoder of UTF-16 has removed it
            data = data.removeprefix(_BOM)
        if not _HEADER.match(data):
            raise BadCaption(_described(data[:_OPENING].removesuffix(b"\n")))
        self._has_header = True
        return data

    def _find_content(self, lines: bytes) -> None:
        """Look for lines that are not part of the header or of a block without text."""
        for line in lines.split(b"\n"):
            self._block = (self._block or line) if line else b""
            in_header = self._block.startswith(b"WEBVTT")
            if _ARROW in line if in_header else not _NO_TEXT.match(self._block):
                self._has_content = True


def _described(opening: bytes) -> str:
    """What the file is, since it is not WebVTT; without its text, which may hold a link."""
    start = opening.lstrip().lower()
    if not opening:
        return "an empty file"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not WebVTT"
    if start.startswith(b"<"):
        code = _ERROR_CODE.search(opening)
        return f"an XML document{f' ({code[1].decode()})' if code else ''}, not WebVTT"
    if start.startswith((b"{", b"[")):
        return "JSON, not WebVTT"
    return f"not WebVTT: it begins with {opening[:20].decode(errors='replace')!r}"
