"""SRT files as WebVTT."""

from __future__ import annotations

import pytest
import webvtt as webvtt_py
from hypothesis import given
from hypothesis import strategies as st

from batchcap.captions import webvtt
from batchcap.captions.srt import as_webvtt, cues, to_webvtt
from batchcap.captions.webvtt import Cue
from batchcap.domain.errors import BadCaption

TWO = "1\n00:00:01,000 --> 00:00:02,500\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\nlines\n"


def converted(text: str) -> list[tuple[int, int, str, str]]:
    return [
        (cue.start, cue.end, cue.text, cue.settings)
        for cue in webvtt.cues(to_webvtt(text.encode()))
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\n\n"])
def test_srt_becomes_webvtt_with_the_same_times_and_text(line_end: str, begin: str) -> None:
    text = (begin + TWO).replace("\n", line_end)
    assert converted(text) == [(1000, 2500, "One", ""), (3000, 4000, "Two\nlines", "")]


@pytest.mark.parametrize(
    ("srt", "text", "settings"),
    [
        ("<i>a</i> <B>b</B> <u>c</u>", "<i>a</i> <b>b</b> <u>c</u>", ""),
        ('<font color="#f00">red</font>', "red", ""),
        ("a & b &amp; c &lt; &nbsp;", "a &amp; b &amp; c &lt; &nbsp;", ""),
        ("1 < 2 > 0 --> end", "1 &lt; 2 &gt; 0 --&gt; end", ""),
        ("{\\an8}above", "above", "line:0"),
        ("{\\an7}left{\\i1}", "left", "line:0 align:start"),
        ("{\\an6}right", "right", "line:50% align:end"),
        ("{\\an2}below", "below", ""),
        ("[music] {not a tag}", "[music] {not a tag}", ""),
    ],
)
def test_srt_tags_that_webvtt_has_stay_and_the_rest_is_text(
    srt: str, text: str, settings: str
) -> None:
    assert converted(f"1\n00:00:01,000 --> 00:00:02,000\n{srt}\n") == [(1000, 2000, text, settings)]


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ("00:00:01.000 --> 00:00:02.000", 1000, 2000),
        ("0:0:1,5 --> 0:0:2", 1500, 2000),
        ("100:00:05,001 --> 100:00:06,010", 360_005_001, 360_006_010),
        ("00:00:01,000 --> 00:00:02,000 X1:1 X2:2 Y1:1 Y2:2", 1000, 2000),
        ("  00:00:01,000-->00:00:02,000  ", 1000, 2000),
    ],
)
def test_srt_times_in_their_variants(times: str, start: int, end: int) -> None:
    assert converted(f"1\n{times}\nx\n") == [(start, end, "x", "")]


def test_srt_without_an_empty_line_between_cues_has_both() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:03,000 --> 00:00:04,000\nTwo"
    assert converted(text) == [(1000, 2000, "One", ""), (3000, 4000, "Two", "")]


def test_srt_text_that_is_a_number_stays() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n1984\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n"
    assert converted(text)[0] == (1000, 2000, "1984", "")


def test_srt_cue_without_text_is_a_cue() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n"
    assert [text for _, _, text, _ in converted(text)] == ["", "Two"]


@pytest.mark.parametrize(
    "data", [b"WEBVTT\n\nno cue", b"<html>", "ü".encode("latin-1") + TWO.encode(), b"text"]
)
def test_file_that_is_no_srt_is_refused(data: bytes) -> None:
    with pytest.raises(BadCaption, match="SRT"):
        list(cues(data))


def test_empty_srt_is_a_webvtt_file_without_cues() -> None:
    assert webvtt.check(to_webvtt(b"")) == 0


CUES = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.text(max_size=60)), max_size=8
)


@given(CUES)
def test_any_text_of_srt_gives_a_webvtt_file_that_parsers_read(
    drawn: list[tuple[int, int, str]],
) -> None:
    blocks = []
    for number, (start, length, text) in enumerate(drawn, 1):
        begin, end = (_srt_time(time) for time in (start, start + length))
        blocks.append(f"{number}\n{begin} --> {end}\n{text}\n")
    data = "\n".join(blocks).encode("utf-8", "replace")
    result = to_webvtt(data)
    found = list(webvtt.cues(result))
    assert webvtt.check(result) == len(found) >= len(drawn)
    assert [(cue.start, cue.end) for cue in found] == [(c.start, c.end) for c in cues(data)]


def _srt_time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{rest:03}"


def test_webvtt_is_written_as_an_independent_parser_reads_it() -> None:
    written = [Cue(1000, 2000, "a\nb", "intro", "line:0"), Cue(3_600_000, 3_601_001, "<i>c</i>")]
    parsed = webvtt_py.from_string(as_webvtt(written).decode())
    assert [(cue.start, cue.end, cue.raw_text) for cue in parsed.captions] == [
        ("00:00:01.000", "00:00:02.000", "a\nb"),
        ("01:00:00.000", "01:00:01.001", "<i>c</i>"),
    ]
    assert parsed.captions[0].identifier == "intro"
