"""Captions in other formats, as independent parsers read them: webvtt-py, ttconv, ElementTree."""

from __future__ import annotations

import html
import io
import json
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import pytest
import webvtt
from hypothesis import assume, given
from hypothesis import strategies as st
from ttconv.imsc import reader as imsc_reader
from ttconv.model import Br, ContentDocument, P, Text
from ttconv.srt import reader as srt_reader

from batchcap.captions import srt
from batchcap.captions.convert import FORMATS, check_formats, convert
from batchcap.captions.srt import as_webvtt
from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import BadCaption, UsageError

TT = "{http://www.w3.org/ns/ttml}"

VTT = b"""WEBVTT

STYLE
::cue { color: red }

NOTE for the translator

intro
00:00:01.000 --> 00:00:02.500 line:0 align:start size:50%
Hello <i>world</i> &amp; <b>bold</b> <c.red>red</c>
- <v Bob>second line -- a &lt; b

01:00:03.000 --> 01:00:04.010
<u>under</u> <ruby>\xe6\xbc\xa2<rt>kan</rt></ruby>
"""


def paragraphs(document: ContentDocument) -> list[tuple[Fraction, Fraction, str]]:
    """Return times and text of each paragraph of a document of ttconv."""
    body = document.get_body()
    assert body is not None
    return [
        (element.get_begin(), element.get_end(), _text(element))
        for element in body.dfs_iterator()
        if isinstance(element, P)
    ]


def _text(paragraph: Any) -> str:
    parts = (
        "\n" if isinstance(part, Br) else part.get_text()
        for part in paragraph.dfs_iterator()
        if isinstance(part, Br | Text)
    )
    return "".join(parts).strip()


def test_srt_keeps_times_text_and_simple_markup() -> None:
    data, dropped = convert(VTT, "srt")
    assert data.decode() == (
        "1\n00:00:01,000 --> 00:00:02,500\n"
        "{\\an7}Hello <i>world</i> & <b>bold</b> red\n- second line -- a < b\n\n"
        "2\n01:00:03,000 --> 01:00:04,010\n<u>under</u> 漢\n"
    )
    assert dropped == [
        *("classes", "exact positions", "identifiers", "notes", "ruby", "styles", "voices"),
    ]


def test_ttml_keeps_times_text_styles_and_positions() -> None:
    data, dropped = convert(VTT, "ttml")
    root = ElementTree.fromstring(data)
    document = imsc_reader.to_model(ElementTree.ElementTree(root))
    assert document is not None
    first, second = paragraphs(document)
    assert first[:2] == (Fraction(1), Fraction(5, 2))
    assert second[0] == Fraction(3603)
    assert first[2] == "Hello world & bold red\n- second line -- a < b"
    text = data.decode()
    for style in ('fontStyle="italic"', 'fontWeight="bold"', "#ff0000", "underline", "ruby"):
        assert style in text, style
    assert dropped == ["identifiers", "notes", "voices"]


def test_text_is_what_a_viewer_reads() -> None:
    data, dropped = convert(VTT, "txt")
    assert data.decode() == "Hello world & bold red\n- second line -- a < b\nunder 漢\n"
    assert {"positions", "ruby", "voices"} <= set(dropped)


def test_json_holds_the_cues_as_they_are() -> None:
    data, dropped = convert(VTT, "json")
    first, second = json.loads(data)["cues"]
    assert first["start"] == 1.0
    assert first["end"] == 2.5
    assert first["identifier"] == "intro"
    assert first["settings"] == "line:0 align:start size:50%"
    assert first["text"].startswith("Hello <i>world</i> &amp; ")
    assert second.keys() == {"start", "end", "text"}
    assert dropped == ["notes", "styles"]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("", ""),
        ("line:0", "{\\an8}"),
        ("line:10%", "{\\an8}"),
        ("line:50% align:left", "{\\an4}"),
        ("line:90% align:end", "{\\an3}"),
        ("line:-1", ""),
        ("align:center", ""),
        ("align:start", "{\\an1}"),
        ("vertical:rl line:0", ""),
    ],
)
def test_srt_places_a_cue_as_well_as_it_can(settings: str, place: str) -> None:
    data = as_webvtt([Cue(0, 1000, "x", settings=settings)])
    assert convert(data, "srt").data.decode().splitlines()[2] == f"{place}x"


def test_nothing_is_said_to_be_dropped_from_a_plain_file() -> None:
    plain = as_webvtt([Cue(0, 1000, "a"), Cue(1000, 2000, "b")])
    assert [convert(plain, name).dropped for name in FORMATS] == [[], [], [], []]


LINES = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)


CUES = st.lists(
    st.builds(
        lambda start, length, lines: Cue(
            start, start + length, "\n".join(html.escape(line, quote=False) for line in lines)
        ),
        st.integers(0, 10**8),
        st.integers(1, 10**5),
        st.lists(LINES.map(str.strip).filter(bool), min_size=1, max_size=3),
    ),
    max_size=6,
)


def read_by_ttconv(data: bytes) -> list[tuple[int, int]]:
    """Return the times of the cues of an SRT file, in milliseconds."""
    document = srt_reader.to_model(io.StringIO(data.decode()))
    return [(round(begin * 1000), round(end * 1000)) for begin, end, _ in paragraphs(document)]


def read_by_webvtt_py(data: bytes) -> list[tuple[str, str, str]]:
    """Return the cues of an SRT file as webvtt-py reads them."""
    captions = webvtt.from_buffer(io.StringIO(data.decode()), format="srt").captions
    return [(caption.start, caption.end, caption.text) for caption in captions]


def read_as_xml(data: bytes) -> list[tuple[str, str, str]]:
    """Return the paragraphs of a TTML file, as any parser of XML sees them."""
    return [
        (
            paragraph.attrib["begin"],
            paragraph.attrib["end"],
            "".join(
                "\n" if part.tag == f"{TT}br" else part.text or "" for part in paragraph.iter()
            ),
        )
        for paragraph in ElementTree.fromstring(data).iter(f"{TT}p")
    ]


def as_shown(cues: list[Cue]) -> list[tuple[str, str, str]]:
    return [(stamp(cue.start), stamp(cue.end), html.unescape(cue.text)) for cue in cues]


def stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


@given(CUES)
def test_srt_round_trip_keeps_times_and_text(cues: list[Cue]) -> None:
    assume(not any("--&gt;" in cue.text for cue in cues))
    data = convert(as_webvtt(cues), "srt").data
    times = [(cue.start, cue.end) for cue in cues]
    assert [(cue.start, cue.end) for cue in srt.cues(data)] == times
    if cues:
        assert read_by_ttconv(data) == times
        assert read_by_webvtt_py(data) == as_shown(cues)


@given(CUES)
def test_ttml_round_trip_keeps_times_and_text(cues: list[Cue]) -> None:
    assert read_as_xml(convert(as_webvtt(cues), "ttml").data) == as_shown(cues)


ODD = {
    "cues without empty lines": "00:00.000 --> 00:01.000\none\n00:02.000 --> 00:03.000\ntwo",
    "no space about the arrow": "00:00.000-->00:01.000\none\n\n00:02.000-->00:03.000\ntwo",
    "empty lines by references": "00:00.000 --> 00:01.000\none&#10;&#10;\n\n"
    "00:02.000 --> 00:03.000\ntwo",
    "a line of tags": "00:00.000 --> 00:01.000\n<c></c>\none\n<b></b>\n\n"
    "00:02.000 --> 00:03.000\ntwo",
    "settings that are wrong": "00:00.000 --> 00:01.000 line:x size:9e9% position:,\none\n\n"
    "00:02.000 --> 00:03.000 region:none vertical:up\ntwo",
}
"""Files that players show as two cues, `one` and `two`."""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_file_keeps_its_cues_in_each_format(body: str, encoding: str) -> None:
    data = f"WEBVTT\n\n{body}\n".encode(encoding)
    expected = [("00:00:00.000", "00:00:01.000", "one"), ("00:00:02.000", "00:00:03.000", "two")]
    assert read_by_webvtt_py(convert(data, "srt").data) == expected
    ttml = read_as_xml(convert(data, "ttml").data)
    assert [(begin, end, text.strip()) for begin, end, text in ttml] == expected
    assert convert(data, "txt").data == b"one\ntwo\n"
    assert len(json.loads(convert(data, "json").data)["cues"]) == 2


def test_control_characters_leave_ttml_well_formed() -> None:
    data = as_webvtt([Cue(0, 1000, "a\x0bb\x08")])
    assert read_as_xml(convert(data, "ttml").data)[0][2] == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("text", "shown", "dropped"),
    [
        ("a --&gt; b", "a -> b", ["arrows"]),
        ("&lt;i&gt;a", "<i>a", ["text like tags"]),
        ("{\\an8}a", "{\\an8}a", ["text like tags"]),
        ("a <b", "a ", []),
    ],
)
def test_srt_reports_text_that_its_players_read_otherwise(
    text: str, shown: str, dropped: list[str]
) -> None:
    conversion = convert(as_webvtt([Cue(0, 1000, text)]), "srt")
    assert conversion.data.decode().split("\n")[2] == shown
    assert conversion.dropped == dropped


@pytest.mark.parametrize(
    "text", ["</b>a &lt; b", "<i>a &lt; b", "<i>a &lt; <b>b</i></b>", "<x>a &lt; b"]
)
def test_ttml_keeps_the_text_of_broken_markup(text: str) -> None:
    conversion = convert(as_webvtt([Cue(0, 1000, text), Cue(1000, 2000, "<i>c</i>")]), "ttml")
    assert [shown for _, _, shown in read_as_xml(conversion.data)] == ["a < b", "c"]
    assert b'fontStyle="italic"' in conversion.data
    assert conversion.dropped == ["broken markup"]


def test_cue_without_text_is_left_out_and_reported() -> None:
    data = as_webvtt([Cue(0, 1000, "<c></c>"), Cue(1000, 2000, "b")])
    conversion = convert(data, "srt")
    assert read_by_webvtt_py(conversion.data) == [("00:00:01.000", "00:00:02.000", "b")]
    assert "cues without text" in conversion.dropped


def test_conversion_of_a_file_that_is_no_webvtt_is_refused() -> None:
    with pytest.raises(BadCaption):
        convert(b"<html>", "srt")


def test_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown caption format 'ass'"):
        check_formats(["srt", "ass"])
