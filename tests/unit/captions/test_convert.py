"""Captions in other formats, as independent parsers read them (ttconv)."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ttconv.imsc import reader as imsc_reader
from ttconv.model import Br, ContentDocument, P, Text
from ttconv.srt import reader as srt_reader

from batchcap.captions import srt
from batchcap.captions.convert import FORMATS, check_formats, convert
from batchcap.captions.srt import as_webvtt
from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import BadCaption, UsageError

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
    ],
)
def test_srt_places_a_cue_as_well_as_it_can(settings: str, place: str) -> None:
    data = as_webvtt([Cue(0, 1000, "x", settings=settings)])
    assert convert(data, "srt").data.decode().splitlines()[2] == f"{place}x"


def test_nothing_is_said_to_be_dropped_from_a_plain_file() -> None:
    plain = as_webvtt([Cue(0, 1000, "a"), Cue(1000, 2000, "b")])
    assert [convert(plain, name).dropped for name in FORMATS] == [[], [], [], []]


LINES = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**5), LINES), max_size=6))
def test_srt_round_trip_keeps_times_and_text(drawn: list[tuple[int, int, str]]) -> None:
    cues = [
        Cue(start, start + length, srt._escaped(text.strip()) or "-")
        for start, length, text in drawn
    ]
    data = convert(as_webvtt(cues), "srt").data
    assert [(cue.start, cue.end) for cue in srt.cues(data)] == [(c.start, c.end) for c in cues]
    document = srt_reader.to_model(io.StringIO(data.decode()))
    parsed = paragraphs(document) if cues else []
    found = [(round(begin * 1000), round(end * 1000)) for begin, end, _ in parsed]
    assert found == [(cue.start, cue.end) for cue in cues]


def test_conversion_of_a_file_that_is_no_webvtt_is_refused() -> None:
    with pytest.raises(BadCaption):
        convert(b"<html>", "srt")


def test_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown caption format 'ass'"):
        check_formats(["srt", "ass"])
