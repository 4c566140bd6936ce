"""Which files count as WebVTT, compared with the parser of the specification."""

from __future__ import annotations

import io
import itertools
import re

import pytest
import webvtt
from hypothesis import example, given
from hypothesis import strategies as st

from batchcap.captions.webvtt import MAX_LINE, Cue, Validator, check, cues
from batchcap.domain.errors import BadCaption
from tests.harness.corpus import CASES, VERDICTS, Verdict, our_verdict, verdict_of_webvtt_py

CUE = b"00:00:01.000 --> 00:00:02.500\nHello\n\n"
GOOD = b"WEBVTT\n\n" + CUE


def verdict(data: bytes) -> int | str:
    try:
        return check(data)
    except BadCaption as bad:
        return bad.message


def verdict_in_chunks(chunks: list[bytes]) -> int | str:
    file = Validator()
    try:
        for chunk in chunks:
            file.feed(chunk)
        return file.finish()
    except BadCaption as bad:
        return bad.message


def cues_by_specification(data: bytes) -> int | None:
    """The cues that the parser of the specification keeps (W3C WebVTT 6.1), None: no WebVTT.

    Written from its steps, with their names, to be independent of the code under test.
    """
    text = data.decode(errors="replace").removeprefix("\ufeff").replace("\0", "\ufffd")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("WEBVTT") or text[6:7] not in {"", " ", "\t", "\n"}:
        return None
    position = text.find("\n") + 1
    if not position:
        return 0
    count, in_header = 0, text[position : position + 1] != "\n"
    while position < len(text):
        cue, position = collect_block(text, position, in_header=in_header)
        count, in_header = count + cue, False
        while text[position : position + 1] == "\n":
            position += 1
    return count


def collect_block(text: str, position: int, *, in_header: bool) -> tuple[bool, int]:
    line_count, previous, seen_arrow, cue = 0, position, False, False
    while True:
        line, ending, _ = text[position:].partition("\n")
        line_count, position = line_count + 1, position + len(line) + len(ending)
        if "-->" in line:
            first = line_count == 1 or (line_count == 2 and not seen_arrow)
            if in_header or not first:
                return cue, previous
            seen_arrow, previous, cue = True, position, has_timings(line)
        elif not line:
            return cue, position
        else:
            previous = position
        if not ending:
            return cue, position


def has_timings(line: str) -> bool:
    parts = re.match(r"[ \t\f]*([0-9:.]+)[ \t\f]*-->[ \t\f]*([0-9:.]+)", line)
    return parts is not None and all(is_time(stamp) for stamp in parts.groups())


def is_time(stamp: str) -> bool:
    units, _, fraction = stamp.partition(".")
    fields = units.split(":")
    if len(fields) not in {2, 3} or not all(field.isdecimal() for field in fields):
        return False
    minutes, seconds = fields[-2:]
    whole = len(minutes) == len(seconds) == 2 and int(minutes) < 60 and int(seconds) < 60
    return whole and re.match(r"\d{3}(?!\d)", fraction) is not None


@pytest.mark.parametrize(("name", "verdict"), VERDICTS.items())
def test_check_case_of_the_corpus_has_its_verdict(name: str, verdict: Verdict) -> None:
    data = (CASES / name).read_bytes()
    assert our_verdict(data) == (verdict.ours, verdict.findings)
    assert verdict_of_webvtt_py(data) == verdict.webvtt_py


def test_corpus_has_a_verdict_for_every_file() -> None:
    assert sorted(VERDICTS) == sorted(path.name for path in CASES.glob("*.vtt"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, 1),
        (b"\xef\xbb\xbf" + GOOD, 1),
        (GOOD.replace(b"\n", b"\r\n"), 1),
        (GOOD.replace(b"\n", b"\r"), 1),
        (b"WEBVTT - a title\nKind: captions\nLanguage: es\n\n" + CUE * 3, 3),
        (b"WEBVTT\tx\n\n1\n" + CUE + b"NOTE that's it\n\n2\n" + CUE, 2),
        (b"WEBVTT\n\n \t00:01.000-->00:02.000\t\nx\n", 1),
        (b"WEBVTT\n\n99:59:59.999 --> 100:00:00.000\nx\n", 1),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\n\xff\xfe is no UTF-8\n", 1),
        (b"WEBVTT\n\n00:02.000 --> 00:01.000\nends before it starts\n", 1),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000 --> 00:03.000\nx\n", 1),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000align:start\nx\n", 1),
        (GOOD + b"00:60.000 --> 01:61.000\nx\n", 1),
        (GOOD + b"00:01.000 --> 00:02.0000\nx\n", 1),
        (GOOD + b"1:02.000 --> 1:03.000\nx\n", 1),
        (GOOD + b"1:00:01.000 --> 1:00:02.000\nx\n", 2),
        (GOOD + b"00:00:05.000 --> 00:00:0", 1),
        (GOOD + b"00:00:05.000 --> 00:00:09.000", 2),
        (b"WEBVTT", 0),
        (b"WEBVTT\n\nNOTE nothing\nis said --> here\n\nSTYLE\n::cue { color: red }\n", 0),
        (b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\nREGION\nid:a\n", 0),
    ],
)
def test_check_file_that_a_player_shows_is_accepted(data: bytes, expected: int) -> None:
    assert check(data) == expected == cues_by_specification(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page, not WebVTT"),
        (b"\n <HTML>", "an HTML page, not WebVTT"),
        (b'{"code":3}', "JSON, not WebVTT"),
        (b"[]", "JSON, not WebVTT"),
        (
            b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>",
            "an XML document (AccessDenied), not WebVTT",
        ),
        (b"<tt></tt>", "an XML document, not WebVTT"),
        (
            b"1\n00:00:01,000 --> 00:00:02,000\nsrt",
            "not WebVTT: it begins with '1\\n00:00:01,000 --> 0'",
        ),
        (b"\x1f\x8b\x08", "not WebVTT: it begins with '\\x1f\ufffd\\x08'"),
        (b" WEBVTT\n\n" + CUE, "not WebVTT: it begins with ' WEBVTT\\n\\n00:00:01.00'"),
        (b"WEBVTTX\n\n" + CUE, "not WebVTT: it begins with 'WEBVTTX\\n\\n00:00:01.00'"),
        (GOOD.decode().encode("utf-16-le"), None),
        (b"WEBVTT\n\n00:01,000 --> 00:02,000\nx\n", "WebVTT without a single cue"),
        (b"WEBVTT\n00:01,000 --> 00:02,000\nx\n", "WebVTT without a single cue"),
        (b"WEBVTT\n\nno timing at all\n", "WebVTT without a single cue"),
        (b"WEBVTT\n\nNOTE a\n\nNOTES\n", "WebVTT without a single cue"),
        (GOOD + b"x" * (MAX_LINE + 1), f"a line is longer than {MAX_LINE:,} bytes"),
        (GOOD + b"x" * (MAX_LINE + 1) + b"\n", f"a line is longer than {MAX_LINE:,} bytes"),
    ],
)
def test_check_file_that_no_player_shows_is_refused(data: bytes, message: str | None) -> None:
    result = verdict(data)
    assert isinstance(result, str)
    assert message is None or result == message
    assert result.isprintable()


def test_check_utf_16_with_its_mark_is_what_a_browser_shows() -> None:
    text = GOOD.decode().replace("Hello", "Grüße ഫ 😀")
    assert check(text.encode("utf-16")) == 1
    assert check(("\ufeff" + text).encode("utf-16-be")) == 1
    assert isinstance(verdict(("\ufeff" + text).encode("utf-16")), str)
    assert [cue.text for cue in cues(text.encode("utf-16"))] == ["Grüße ഫ 😀"]


def test_check_longest_line_is_accepted_in_any_chunks() -> None:
    data = GOOD + b"x" * MAX_LINE + b"\r\n" + CUE
    assert check(data) == 2
    ends = len(data) - len(CUE)
    assert verdict_in_chunks([data[: ends - 1], data[ends - 1 :]]) == 2


def test_check_large_file_holds_one_chunk_and_one_line() -> None:
    file = Validator()
    file.feed(b"WEBVTT\n\n")
    for _ in range(1000):
        file.feed(CUE * 20)
    assert len(file._waiting) < 100
    assert file.finish() == 20_000


LINES = st.lists(
    st.sampled_from(
        [
            *[b"WEBVTT", b"", b"", b"1", b"x", b"NOTE a", b"10:30", b"-->", b"--", b"a --> b"],
            *[b"00:01.000 --> 00:02.000", b"00:02.000 --> 00:01.000", b"00:01.00", b"00:01.000 -"],
            *[b"00:00:01.000 --> 00:02.000", b"00:01.000 --> 00:02.000 line:0", b"y" * 1500],
            *[b"0:00:01.000-->\t00:00:02.000", b"00:00:02.000 --> 00:00:01.0001", b"STYLE", b"\0"],
        ]
    ),
    max_size=12,
)
FILES = st.builds(
    lambda header, lines, ending, last: header + ending.join([*lines, last]),
    st.sampled_from(
        [b"WEBVTT\n\n", b"WEBVTT\r\n\r\n", b"\xef\xbb\xbfWEBVTT\r\r", b"WEBVTT\n", b""]
    ),
    LINES,
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]),
    st.sampled_from([b"", b"x", b"12", b"\r", b"00:01.000 --> 00:02.000"]),
)


@given(FILES)
def test_check_any_file_agrees_with_the_specification(data: bytes) -> None:
    result, expected = verdict(data), cues_by_specification(data)
    if expected:
        assert result == expected
    elif expected is None:
        assert isinstance(result, str)
    else:
        assert result in {0, "WebVTT without a single cue"}


UTF_16 = st.builds(
    lambda data, order: ("\ufeff" + data.decode(errors="replace")).encode(f"utf-16-{order}"),
    FILES,
    st.sampled_from(["le", "be"]),
)


@given(FILES | UTF_16, st.lists(st.integers(0, 4000), max_size=8))
@example(GOOD + b"00:00:05.000 --> 00:00:04.000\nx\n00:00 --> x\n", [40, 78])
def test_check_in_any_chunks_gives_the_same_verdict(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert verdict_in_chunks(chunks) == verdict(data)


@given(FILES | UTF_16)
def test_check_byte_by_byte_gives_the_same_verdict(data: bytes) -> None:
    assert verdict_in_chunks([bytes([byte]) for byte in data]) == verdict(data)


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_check_mutated_file_never_crashes(noise: bytes, start: int, end: int) -> None:
    whole = b"WEBVTT\n\n" + CUE * 6
    assert isinstance(verdict(whole[:start] + noise + whole[end:]), int | str)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)
TIMES = st.integers(0, 400_000_000)


def stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"


@given(st.lists(st.tuples(TIMES, TIMES, TEXT), min_size=1, max_size=8), st.booleans())
def test_check_clean_file_agrees_with_webvtt_py(
    given_cues: list[tuple[int, int, str]], windows: bool
) -> None:
    blocks = [
        f"{stamp(start)} --> {stamp(end)}\n{text.replace('-->', '')}x\n"
        for start, end, text in given_cues
    ]
    data = "\n".join(["WEBVTT\n", *blocks]).encode()
    expected = webvtt.from_buffer(io.BytesIO(data)).captions
    assert (
        check(data.replace(b"\n", b"\r\n") if windows else data) == len(expected) == len(given_cues)
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"\xef\xbb\xbfWEBVTT\r\n\r\n1\r\n00:01.000 --> 00:02.500 line:0 \r\na\r\nb\r\n",
            Cue(1000, 2500, "a\nb", "1", "line:0 "),
        ),
        (
            b"WEBVTT -->\nid\n00:01.000-->00:02.500align:start\nx",
            Cue(1000, 2500, "x", "", "align:start"),
        ),
        (b"WEBVTT\n\nNOTE\n1:00:01.000 --> 01:00.000\n\nx", Cue(3_601_000, 60_000, "", "NOTE")),
        (
            b"WEBVTT\n\ntwo\nlines\n00:00.000 --> 00:01.000\n<b>&amp;\0\xff",
            Cue(0, 1000, "<b>&amp;\ufffd\ufffd"),
        ),
        (b"WEBVTT\n\nx\n00 --> 01\n00:00.000 --> 00:01.000\nx\nno --> x\ny", Cue(0, 1000, "x")),
        (b"WEBVTT\n\n00:00.000 --> 100000000000:00:01.000\n", Cue(0, 360_000_000_001_000, "")),
    ],
)
def test_cues_file_gives_what_a_parser_keeps(data: bytes, expected: Cue) -> None:
    assert list(cues(data)) == [expected]


def test_cues_are_read_one_at_a_time() -> None:
    reading = cues(GOOD + CUE * 100_000)
    assert next(reading) == next(reading) == Cue(1000, 2500, "Hello")


@given(FILES)
@example(b"\r")
@example(b"no header\r")
def test_cues_any_file_are_those_that_check_counts(data: bytes) -> None:
    result = verdict(data)
    try:
        assert len(list(cues(data))) == (0 if isinstance(result, str) else result)
    except BadCaption as bad:
        assert bad.message == result


@given(st.lists(st.tuples(TIMES, TIMES, TEXT), min_size=1, max_size=8))
def test_cues_clean_file_agree_with_webvtt_py(given_cues: list[tuple[int, int, str]]) -> None:
    expected = [Cue(start, end, f"{text.replace('-->', '')}x") for start, end, text in given_cues]
    blocks = [f"{stamp(cue.start)} --> {stamp(cue.end)}\n{cue.text}\n" for cue in expected]
    data = "\n".join(["WEBVTT\n", *blocks]).encode()
    assert list(cues(data)) == expected
    others = webvtt.from_buffer(io.BytesIO(data)).captions
    assert [cue.start for cue in others] == [stamp(cue.start) for cue in expected]
    assert [cue.raw_text for cue in others] == [cue.text for cue in expected]
