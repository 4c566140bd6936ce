"""WebVTT as SRT, TTML, plain text and JSON.

TTML (IMSC 1.1) is written by ttconv (`pip install 'batchcap[convert]'`), which keeps styles and
positions. SRT has only bold, italics, underlines and nine places on the screen.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape, unescape
from importlib.util import find_spec
from typing import NamedTuple
from xml.etree import ElementTree

import msgspec
import orjson

from batchcap.captions import webvtt
from batchcap.captions.cue_text import TAG, plain, unclosed, unknown_tag
from batchcap.captions.srt import as_webvtt
from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import BadCaption, UsageError

_KEPT_TAG = re.compile(r"<(/?)([biu])(?:[. \t][^<>]*)?>")
_VOICE = re.compile(r"</?v(?=[ .\t>])[^>]*>")
_EMPTY_PAIR = re.compile(r"<([biu])></\1>")
_RUBY_TEXT = re.compile(r"<rt[^<>]*>.*?(?:</rt>|(?=</ruby>)|\Z)", re.DOTALL)
_LINE = re.compile(r"(?:^|[ \t])line:(-?\d+(?:\.\d+)?)(%?)")
_ALIGN = re.compile(r"(?:^|[ \t])align:(start|left|center|middle|end|right)")
_BLOCK = re.compile(r"(?<=\n\n)(STYLE|REGION|NOTE)(?=[ \t\n]).*?(?=\n\n)", re.DOTALL)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LIKE_MARKUP = re.compile(r"</?[a-z][^<>\n]*>|\{\\[^{}\n]*\}", re.IGNORECASE)
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
    blocks: list[str] = []
    for cue in cues:
        if _shown(cue):
            times = f"{_time(cue.start)} --> {_time(cue.end)}"
            text = _place(cue.settings) + _srt_text(cue.text)
            blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
    return "\n".join(blocks).encode()


def _srt_text(text: str) -> str:
    """Keep bold, italics and underlines; show what ruby annotates without the annotation.

    An empty line would end the cue, and parsers take a line with an arrow for times.
    """
    parts, at = [], 0
    text = _RUBY_TEXT.sub("", text)
    for tag in TAG.finditer(text):
        kept = _KEPT_TAG.fullmatch(tag[0])
        parts += [unescape(text[at : tag.start()]), f"<{kept[1]}{kept[2]}>" if kept else ""]
        at = tag.end()
    parts.append(unescape(text[at:]))
    shown = _EMPTY_PAIR.sub("", "".join(parts))
    return _without_empty_lines(shown).replace("-->", "->")


def _shown(cue: Cue) -> str:
    """Return the text of a cue as a viewer reads it; "" if the cue is empty."""
    return _without_empty_lines(plain(_RUBY_TEXT.sub("", cue.text)))


def _without_empty_lines(text: str) -> str:
    return "\n".join(filter(str.strip, text.replace("\r", "\n").split("\n")))


def _place(settings: str) -> str:
    """Return the place of a cue on the number pad as players of SRT read it, "" if below."""
    if "vertical:" in settings:  # its line is a column
        return ""
    line, align = _LINE.search(settings), _ALIGN.search(settings)
    row = 0
    if line:
        at = float(line[1])
        share = at if line[2] else (0.0 if 0 <= at < 5 else 100.0 if at < 0 else at * 6.0)
        row = 2 if share < 34 else 1 if share < 67 else 0
    place = row * 3 + _COLUMNS.get(align[1] if align else "", 1) + 1
    return "" if place == 2 else f"{{\\an{place}}}"


def _ttml(data: bytes, cues: Sequence[Cue]) -> bytes:
    """Return TTML. ttconv gets the cues written anew, because it reads fewer files than players.

    Raises:
        BadCaption: ttconv cannot read it.
    """
    from ttconv.imsc import writer  # an extra
    from ttconv.vtt import reader

    logging.getLogger("ttconv").setLevel(logging.CRITICAL)  # it logs every odd setting
    blocks = [block[0] for block in _blocks(data) if block[1] != "NOTE"]
    head = "".join(f"{block}\n\n" for block in blocks)
    text = (
        as_webvtt(map(_with_sound_markup, cues))
        .decode()
        .replace("WEBVTT\n\n", f"WEBVTT\n\n{head}", 1)
    )
    try:
        tree = writer.from_model(reader.to_model(io.StringIO(text)))
    except Exception as error:  # odd settings and styles raise all kinds
        raise BadCaption(f"ttconv cannot convert it: {type(error).__name__}: {error}") from error
    root: ElementTree.Element = tree.getroot()
    document = ElementTree.tostring(root, encoding="unicode")
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return (declaration + _NOT_XML.sub("\ufffd", document)).encode()


def _with_sound_markup(cue: Cue) -> Cue:
    """Return a cue without its markup if that is broken: ttconv refuses a whole file for it."""
    if not _is_broken(cue.text):
        return cue
    return msgspec.structs.replace(cue, text=escape(_shown(cue), quote=False))


def _is_broken(text: str) -> bool:
    text = _VOICE.sub("", text)  # which may stay open
    return "<" in text and bool(unclosed(text) or unknown_tag(text))


def _text(_data: bytes, cues: Sequence[Cue]) -> bytes:
    return "".join(f"{text}\n" for text in map(_shown, cues) if text).encode()


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
    blocks = {block[1] for block in _blocks(data)}
    present = {name for name, block in _BLOCKS.items() if block in blocks}
    present.update(_of_text(cues))
    if any(cue.identifier for cue in cues):
        present.add("identifiers")
    settings = [cue.settings for cue in cues if cue.settings.strip()]
    if settings:
        present.add("positions")
    if any(re.search(r"(?:size|region|vertical|position):", text) for text in settings):
        present.add("exact positions")
    yield from sorted(present & lost)


def _of_text(cues: Iterable[Cue]) -> Iterator[str]:
    """Yield what the texts of cues have beside characters."""
    for cue in cues:
        yield from (name for name, markup in _MARKUP.items() if markup.search(cue.text))
        shown = plain(cue.text) if "&" in cue.text else ""
        if "-->" in shown:
            yield "arrows"
        if _LIKE_MARKUP.search(shown or TAG.sub("", cue.text)):
            yield "text like tags"
        if not _shown(cue):
            yield _NO_TEXT
        if _is_broken(cue.text):
            yield "broken markup"


def _blocks(data: bytes) -> Iterator[re.Match[str]]:
    """Yield the STYLE, REGION and NOTE blocks of a file; those with an arrow hold cues."""
    return (block for block in _BLOCK.finditer(webvtt.decoded(data)) if "-->" not in block[0])


_BLOCKS = {"styles": "STYLE", "regions": "REGION", "notes": "NOTE"}
_NO_TEXT = "cues without text"
_SRT_LOSES = frozenset(
    {*_BLOCKS, *_MARKUP, "exact positions", "identifiers", "arrows", "text like tags", _NO_TEXT}
) - {"bold, italics and underlines"}
_TTML_LOSES = frozenset({"broken markup", "voices", "notes", "identifiers", "languages", _NO_TEXT})
_JSON_LOSES = frozenset(_BLOCKS)
_TEXT_LOSES = frozenset({*_BLOCKS, *_MARKUP, "positions", "identifiers", "times", _NO_TEXT})

FORMATS: dict[str, tuple[Callable[[bytes, Sequence[Cue]], bytes], frozenset[str]]] = {
    "srt": (_srt, _SRT_LOSES),
    "ttml": (_ttml, _TTML_LOSES),
    "txt": (_text, _TEXT_LOSES),
    "json": (_json, _JSON_LOSES),
}
"""How each format is written, and what it cannot hold."""
