"""WebVTT as SRT, TTML, plain text and JSON.

TTML (IMSC 1.1) is written by ttconv (`pip install 'batchcap[convert]'`), which keeps styles and
positions. SRT has only bold, italics, underlines and nine places on the screen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from importlib.util import find_spec
from typing import NamedTuple
from xml.etree import ElementTree

import orjson

from batchcap.captions import webvtt
from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import UsageError

_TAG = re.compile(r"</?[^<>]*>")
_KEPT_TAG = re.compile(r"<(/?)([biu])(?:[. \t][^<>]*)?>")
_RUBY_TEXT = re.compile(r"<rt[^<>]*>.*?(?:</rt>|(?=</ruby>)|\Z)", re.DOTALL)
_LINE = re.compile(r"(?:^|[ \t])line:(-?\d+(?:\.\d+)?)(%?)")
_ALIGN = re.compile(r"(?:^|[ \t])align:(start|left|center|middle|end|right)")
_BLOCK = re.compile(rb"(?:^|\n\n)(STYLE|REGION|NOTE)(?=[ \t\n])")
_COLUMNS = {"start": 0, "left": 0, "end": 2, "right": 2}

_MARKUP = {
    "voices": re.compile(r"<v[ .\t]"),
    "classes": re.compile(r"<(?:c|[biu])\.|<c>"),
    "languages": re.compile(r"<lang[ .\t]"),
    "ruby": re.compile(r"<ruby"),
    "times in the text": re.compile(r"<\d+:\d\d"),
    "bold, italics and underlines": re.compile(r"<[biu][>. ]"),
}
"""Markup that a format may not have, and how it is recognized."""


class Conversion(NamedTuple):
    """A converted file, and what the format could not hold."""

    data: bytes
    dropped: list[str]


def convert(data: bytes, format_: str) -> Conversion:
    """Return a WebVTT file in another format, one of `FORMATS`.

    Raises:
        BadCaption: It is not WebVTT.
        UsageError: The package that writes the format is missing.
    """
    cues = list(webvtt.cues(data))
    make, lost = FORMATS[format_]
    return Conversion(make(data, cues), list(_dropped(data, cues, lost)))


def check_formats(formats: Sequence[str]) -> None:
    """Check that formats can be written.

    Raises:
        UsageError: One is unknown, or a package is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(
                f"unknown caption format {name!r}", hint=f"There are: {', '.join(FORMATS)}"
            )
    if "ttml" in formats and find_spec("ttconv") is None:
        raise UsageError("TTML needs the package ttconv", hint="pip install 'batchcap[convert]'")


def _srt(_data: bytes, cues: Sequence[Cue]) -> bytes:
    blocks = []
    for number, cue in enumerate(cues, 1):
        times = f"{_time(cue.start)} --> {_time(cue.end)}"
        text = _place(cue.settings) + _srt_text(cue.text)
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks).encode()


def _srt_text(text: str) -> str:
    """Keep bold, italics and underlines; show what ruby annotates without the annotation."""
    parts, at = [], 0
    text = _RUBY_TEXT.sub("", text)
    for tag in _TAG.finditer(text):
        kept = _KEPT_TAG.fullmatch(tag[0])
        parts += [unescape(text[at : tag.start()]), f"<{kept[1]}{kept[2]}>" if kept else ""]
        at = tag.end()
    return "".join([*parts, unescape(text[at:])])


def _place(settings: str) -> str:
    """Return the place of a cue on the number pad as players of SRT read it, "" if below."""
    line, align = _LINE.search(settings), _ALIGN.search(settings)
    row = 0
    if line:
        at = float(line[1])
        share = at if line[2] else (0.0 if 0 <= at < 5 else 100.0 if at < 0 else at * 6.0)
        row = 2 if share < 34 else 1 if share < 67 else 0
    place = row * 3 + _COLUMNS.get(align[1] if align else "", 1) + 1
    return "" if place == 2 else f"{{\\an{place}}}"


def _ttml(data: bytes, _cues: Sequence[Cue]) -> bytes:
    from ttconv.imsc import writer  # an extra
    from ttconv.vtt import reader

    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    tree = writer.from_model(reader.to_model(io.StringIO(text)))
    root: ElementTree.Element = tree.getroot()
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _text(_data: bytes, cues: Sequence[Cue]) -> bytes:
    lines = (unescape(_TAG.sub("", _RUBY_TEXT.sub("", cue.text))) for cue in cues)
    return "".join(f"{line}\n" for line in lines).encode()


def _json(_data: bytes, cues: Sequence[Cue]) -> bytes:
    shown = [
        {
            "start": cue.start / 1000,
            "end": cue.end / 1000,
            "text": cue.text,
            **({"identifier": cue.identifier} if cue.identifier else {}),
            **({"settings": cue.settings.strip()} if cue.settings.strip() else {}),
        }
        for cue in cues
    ]
    return orjson.dumps({"cues": shown}, option=orjson.OPT_INDENT_2) + b"\n"


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{rest:03}"


def _dropped(data: bytes, cues: Sequence[Cue], lost: frozenset[str]) -> Iterator[str]:
    """Yield what a file has that the format loses."""
    blocks = {match[1].decode() for match in _BLOCK.finditer(data.replace(b"\r\n", b"\n"))}
    present = {name for name, block in _BLOCKS.items() if block in blocks}
    for name, markup in _MARKUP.items():
        if name in lost and any(markup.search(cue.text) for cue in cues):
            present.add(name)
    if any(cue.identifier for cue in cues):
        present.add("identifiers")
    settings = [cue.settings for cue in cues if cue.settings.strip()]
    if settings:
        present.add("positions")
    if any(re.search(r"(?:size|region|vertical|position):", text) for text in settings):
        present.add("exact positions")
    yield from sorted(present & lost)


_BLOCKS = {"styles": "STYLE", "regions": "REGION", "notes": "NOTE"}
_SRT_LOSES = frozenset({*_BLOCKS, *_MARKUP, "exact positions", "identifiers"}) - {
    "bold, italics and underlines"
}
_TTML_LOSES = frozenset({"voices", "notes", "identifiers", "languages"})
_JSON_LOSES = frozenset(_BLOCKS)
_TEXT_LOSES = frozenset({*_BLOCKS, *_MARKUP, "positions", "identifiers", "times"})

FORMATS: dict[str, tuple[Callable[[bytes, Sequence[Cue]], bytes], frozenset[str]]] = {
    "srt": (_srt, _SRT_LOSES),
    "ttml": (_ttml, _TTML_LOSES),
    "txt": (_text, _TEXT_LOSES),
    "json": (_json, _JSON_LOSES),
}
"""How each format is written, and what it cannot hold."""
