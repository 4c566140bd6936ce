"""What a good WebVTT file is, told from its bytes.

A caption is good where a player shows all of it: the header, at least one cue,
every line with an arrow a timing line that ends after it starts, and no sign
that the end is missing. Cue settings, tags and the text itself are the
provider's business and stay as they are.

Stricter than the WebVTT specification, which drops a bad cue in silence: here a
bad timing line means that something went wrong on the way. Looser than
webvtt-py's strict mode: cue settings are not looked at, blocks need not be
parted by empty lines, and the header may be followed by a cue at once.
"""

from __future__ import annotations

import re
from operator import itemgetter, lt

from .errors import BadCaption

MAX_LINE = 1024 * 1024
"""Bytes of the longest line; none of a caption comes near it."""

_OPENING = 2048  # bytes to wait for before saying what the file is
_BOM = b"\xef\xbb\xbf"
_ARROW = b"-->"
_HEADER = re.compile(rb"WEBVTT(?=[ \t\n]|\Z)")
_TIME = rb"(?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3}"
_TIMING = re.compile(rb"\n[ \t]*(%b)[ \t]*-->[ \t]*(%b)(?=[ \t\n])" % (_TIME, _TIME))
_AROUND_ARROW = re.compile(rb"-->.{14}(?<=\n(.{29})[ \t\n]|.{31})", re.DOTALL)
"""What may be a timing as nearly every file writes all of them, or b"" where an arrow is in
something else; what is in it is looked at in all of them together (`_plain`), which takes
two thirds of the time. Arrows at either end of the text are not seen (`_UNSEEN` bytes)."""

_UNSEEN = 16

_SHAPE = b"00:00:00.000 --> 00:00:00.000"
_TENS = (3, 6, 20, 23)
"""Where it has the tens of minutes and of seconds."""

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_END = itemgetter(slice(17, None))
_UNFINISHED = re.compile(rb"[ \t]*\d[\d:.]*[ \t]*-{0,2}")
_ERROR_CODE = re.compile(rb"<Code>(\w{1,60})</Code>")


def check(data: bytes) -> int:
    """The number of cues of a whole WebVTT file.

    Raises `BadCaption` where it is none, or not whole.
    """
    file = Check()
    file.feed(data)
    return file.finish()


class Check:
    """The same for a file that comes in chunks: same verdict, whatever the chunks.

    Holds a chunk or two and one line, never the file. `feed` and `finish` raise
    `BadCaption`, and the object is of no use after that.
    """

    def __init__(self) -> None:
        self._waiting = b""  # the beginning of a line whose end has not come
        self._opened = False
        self._lines = 0
        self._uncounted = b""  # scanned, but not in `_lines`: a good file's are never needed
        self._cues = 0
        self._timed = False  # whether the block that the last line is in has a timing line

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the file."""
        data = self._waiting + chunk if self._waiting else chunk
        if not self._opened and len(data) < _OPENING:
            self._waiting = data
            return
        # A CR at the end may be half of a CRLF: it waits for the next byte.
        held = b"\r" if data.endswith(b"\r") else b""
        self._take(data[: len(data) - len(held)], held)

    def finish(self) -> int:
        """The number of cues, now that the file has ended."""
        waiting, self._waiting = self._waiting, b""
        self._take(waiting, b"")
        if _ARROW in self._waiting or (not self._timed and _UNFINISHED.fullmatch(self._waiting)):
            raise BadCaption(f"the file is cut off in line {self._line()}")
        if not self._cues:
            raise BadCaption("WebVTT without a single cue")
        return self._cues

    def _take(self, data: bytes, held: bytes) -> None:
        """Scans the lines that are complete; the rest and what is `held` waits."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._opened:
            data = data.removeprefix(_BOM)
            if not _HEADER.match(data):
                raise BadCaption(_described(data[:_OPENING]))
            self._opened = True
        end = data.rfind(b"\n") + 1
        if end:
            self._scan(b"\n" + data[:end])
        self._waiting = data[end:] + held
        if len(data) - end > MAX_LINE:
            raise BadCaption(_overlong(self._line()))

    def _scan(self, block: bytes) -> None:
        """Counts the cues of complete lines; `block` begins with the end of the line before."""
        self._line()
        cues = _plain(block)
        if cues is None or len(block) > MAX_LINE:
            cues = self._any(block)
        self._cues += cues
        self._uncounted = block
        blank = block.rfind(b"\n\n")
        self._timed = _ARROW in block[blank + 1 :] or (blank < 0 and self._timed)

    def _any(self, block: bytes) -> int:
        """The number of cues, however they are written."""
        timings = _TIMING.findall(block)
        # Times of one length compare as bytes; _walk is exact where this is in doubt.
        ordered = all(len(start) == len(end) and start < end for start, end in timings)
        if not ordered or len(timings) != block.count(_ARROW) or len(block) > MAX_LINE:
            self._walk(block)
        return len(timings)

    def _line(self) -> int:
        """The number of the line that is next."""
        self._lines += self._uncounted[1:].count(b"\n")
        self._uncounted = b""
        return self._lines + 1

    def _walk(self, block: bytes) -> None:
        """Raises for the first bad line, where there is one."""
        for number, line in enumerate(block[1:-1].split(b"\n"), self._line()):
            if len(line) > MAX_LINE:
                raise BadCaption(_overlong(number))
            if _ARROW not in line:
                continue
            timing = _TIMING.match(b"\n%b\n" % line)
            if not timing or line.count(_ARROW) > 1:
                raise BadCaption(f"line {number} is no timing line: {_shown(line)}")
            if not _in_order(timing.groups()):
                raise BadCaption(f"line {number} ends before it starts: {_shown(line)}")


def _plain(block: bytes) -> int | None:
    """The number of cues, all of them good; None where that is not sure.

    It is where all arrows are in timings of one shape, and each starts before it ends:
    times of one length compare as bytes, and so do the lines that begin with them.
    """
    if _ARROW in block[:_UNSEEN] or _ARROW in block[-_UNSEEN:]:
        return None
    timings = _AROUND_ARROW.findall(block)
    count, every = len(timings), b"".join(timings)
    if every.translate(_DIGITS) != _SHAPE * count:
        return None
    if any(every[place :: len(_SHAPE)].translate(None, b"012345") for place in _TENS):
        return None
    return count if all(map(lt, timings, map(_END, timings))) else None


def _in_order(timing: tuple[bytes, ...]) -> bool:
    """Whether a cue ends after it starts."""
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
