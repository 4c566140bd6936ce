"""Checks that bytes are a whole WebVTT file.

A caption is good if a player shows all of it: it has the header and at least one cue,
every line with an arrow is a timing line that ends after it starts, and there is no sign
that the end is missing. Cue settings, tags and the text itself are the provider's
business and stay as they are.

Stricter than the WebVTT specification, which drops a bad cue silently: here a bad timing
line means that the file was damaged on the way. Looser than webvtt-py's strict mode: cue
settings are not checked, blocks need not be separated by empty lines, and a cue may follow
the header at once.
"""

from __future__ import annotations

import re

from batchcap.errors import BadCaption

MAX_LINE = 1024 * 1024
"""Bytes of the longest line. No line of a real caption comes near it."""

_OPENING = 2048  # bytes to wait for before saying what the file is
_BOM = b"\xef\xbb\xbf"
_ARROW = b"-->"
_HEADER = re.compile(rb"WEBVTT(?=[ \t\n]|\Z)")
_TIME = rb"(?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3}"
_TIMING = re.compile(rb"[ \t]*(%b)[ \t]*-->[ \t]*(%b)(?:[ \t]|\Z)" % (_TIME, _TIME))
_UNFINISHED = re.compile(rb"[ \t]*\d[\d:.]*[ \t]*-{0,2}")
_ERROR_CODE = re.compile(rb"<Code>(\w{1,60})</Code>")


def check(data: bytes) -> int:
    """Return the number of cues of a whole WebVTT file.

    Raises:
        BadCaption: It is not WebVTT, or not whole.
    """
    file = Check()
    file.feed(data)
    return file.finish()


class Check:
    """Checks a file that comes in chunks. The verdict does not depend on the chunks.

    Holds one chunk and one unfinished line, never the file. After `feed` or `finish`
    raised `BadCaption`, the object must not be used again.
    """

    def __init__(self) -> None:
        self._waiting = b""  # the beginning of a line whose end has not arrived
        self._opened = False
        self._lines = 0
        self._cues = 0
        self._in_cue = False  # whether the last line belongs to a block with a timing line

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes of the file.

        Raises:
            BadCaption: The file cannot become a whole WebVTT file any more.
        """
        data = self._waiting + chunk if self._waiting else chunk
        if not self._opened and len(data) < _OPENING:
            self._waiting = data
            return
        # A CR at the end may be half of a CRLF: it waits for the next byte.
        held = b"\r" if data.endswith(b"\r") else b""
        self._take(data[: len(data) - len(held)], held)

    def finish(self) -> int:
        """Return the number of cues. Call it once the file has ended.

        Raises:
            BadCaption: The file is not WebVTT, was cut off, or has no cue.
        """
        waiting, self._waiting = self._waiting, b""
        self._take(waiting, b"")
        if _ARROW in self._waiting or (not self._in_cue and _UNFINISHED.fullmatch(self._waiting)):
            raise BadCaption(f"the file is cut off in line {self._lines + 1}")
        if not self._cues:
            raise BadCaption("WebVTT without a single cue")
        return self._cues

    def _take(self, data: bytes, held: bytes) -> None:
        """Check the complete lines; the rest, with `held` behind it, waits for the next chunk."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._opened:
            data = data.removeprefix(_BOM)
            if not _HEADER.match(data):
                raise BadCaption(_described(data[:_OPENING]))
            self._opened = True
        *lines, rest = data.split(b"\n")
        self._check_lines(lines)
        if len(rest) > MAX_LINE:
            raise BadCaption(_overlong(self._lines + 1))
        self._waiting = rest + held

    def _check_lines(self, lines: list[bytes]) -> None:
        for number, line in enumerate(lines, self._lines + 1):
            if len(line) > MAX_LINE:
                raise BadCaption(_overlong(number))
            if _ARROW in line:
                _check_timing(line, number)
                self._cues += 1
                self._in_cue = True
            elif not line:
                self._in_cue = False
        self._lines += len(lines)


def _check_timing(line: bytes, number: int) -> None:
    timing = _TIMING.match(line)
    if not timing or line.count(_ARROW) > 1:
        raise BadCaption(f"line {number} is no timing line: {_shown(line)}")
    if not _in_order(timing.groups()):
        raise BadCaption(f"line {number} ends before it starts: {_shown(line)}")


def _in_order(timing: tuple[bytes, ...]) -> bool:
    """Return whether a cue ends after it starts."""
    start, end = timing
    if len(start) == len(end):
        return end > start
    # Without leading zeros the longer time is the later one; all fields but the first are fixed.
    start, end = start.lstrip(b"0:"), end.lstrip(b"0:")
    return (len(end), end) > (len(start), start)


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
    return f"not WebVTT: it begins with {_shown(opening[:20])}"


def _shown(line: bytes) -> str:
    return repr(line[:60].decode(errors="replace"))


def _overlong(number: int) -> str:
    return f"line {number} is longer than {MAX_LINE:,} bytes"
