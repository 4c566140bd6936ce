"""SubRip (SRT) files as WebVTT.

SRT has no specification. What players agree on is read: a line of times with a comma or a point,
text until an empty line or the next cue, `<b>`, `<i>`, `<u>`, and `{\\an8}` for a place on the
screen. Colours and fonts are dropped, because WebVTT has no such tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import BadCaption

_TIME = r"(\d{1,9}):([0-5]?\d):([0-5]?\d)(?:[,.](\d{1,3}))?"
_TIMES = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?=[ \t]|$).*$", re.MULTILINE)
_NUMBER = re.compile(r"\n[ \t]*\d+[ \t]*\n?\Z")
_TAG = re.compile(r"(</?[biu]>)|</?[a-z][^<>\n]*>|\{\\[^{}\n]*\}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|nbsp|lrm|rlm|#\d+|#x[0-9a-fA-F]+);)")
_PLACE = re.compile(r"\{\\an([1-9])\}")
_LINES = {0: "", 1: "line:50%", 2: "line:0"}
"""Settings of the lower, middle and upper third of the screen."""
_ALIGNS = {1: "align:start", 2: "", 0: "align:end"}
"""Settings of the left, middle and right, by the place's number modulo 3."""


def cues(data: bytes) -> Iterator[Cue]:
    """Yield the cues of an SRT file, their text as WebVTT has it.

    Raises:
        BadCaption: The file is not UTF-8, or has text and no cue.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadCaption("the SRT file is not UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    found = list(_TIMES.finditer(text))
    if not found and text.strip():
        raise BadCaption(f"not SRT: it begins with {text.lstrip()[:20]!r}")
    for match, following in zip_longest(found, found[1:]):
        after = text[match.end() : following.start() if following else len(text)]
        yield _cue(match, after, is_last=following is None)


def to_webvtt(data: bytes) -> bytes:
    """Return an SRT file as WebVTT, in UTF-8.

    Raises:
        BadCaption: See `cues`.
    """
    return as_webvtt(cues(data))


def as_webvtt(cues: Iterable[Cue]) -> bytes:
    """Return cues as a WebVTT file, in UTF-8."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        times = f"{_time(cue.start)} --> {_time(cue.end)}"
        head = f"{times} {cue.settings}".rstrip()
        blocks.append("\n".join(filter(None, (cue.identifier, head, cue.text))) + "\n")
    return "\n".join(blocks).encode()


def _cue(times: re.Match[str], after: str, *, is_last: bool) -> Cue:
    """Return the cue of a line of times; `after` is the text up to the next one."""
    text, empty_line, _ = after.partition("\n\n")
    if not (empty_line or is_last):
        text = _NUMBER.sub("", text)  # of the next cue
    text = "\n".join(filter(str.strip, text.split("\n")))
    place = _PLACE.search(text)
    return Cue(
        _milliseconds(*times.group(1, 2, 3, 4)),
        _milliseconds(*times.group(5, 6, 7, 8)),
        _as_webvtt_text(text),
        settings=_settings(int(place[1])) if place else "",
    )


def _as_webvtt_text(text: str) -> str:
    """Keep the tags that WebVTT has, drop the others, and escape the rest."""
    parts, at = [], 0
    for match in _TAG.finditer(text):
        parts += [_escaped(text[at : match.start()]), (match[1] or "").lower()]
        at = match.end()
    return "".join([*parts, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return _ENTITY.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def _settings(place: int) -> str:
    """Return the settings of a place of the number pad: 8 is above, in the middle."""
    return " ".join(filter(None, (_LINES[(place - 1) // 3], _ALIGNS[place % 3])))


def _milliseconds(hours: str, minutes: str, seconds: str, rest: str | None) -> int:
    return (
        (int(hours) * 60 + int(minutes)) * 60_000
        + int(seconds) * 1000
        + int((rest or "0").ljust(3, "0"))
    )


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
