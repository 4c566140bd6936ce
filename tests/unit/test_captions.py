"""What passes for a whole WebVTT file, held against webvtt-py's strict mode."""

from __future__ import annotations

import io
import itertools

import pytest
import webvtt
from hypothesis import example, given
from hypothesis import strategies as st

from batchcap.captions import MAX_LINE, Check, check
from batchcap.errors import BadCaption

CUE = b"00:00:01.000 --> 00:00:02.500\nHello\n\n"
GOOD = b"WEBVTT\n\n" + CUE


def verdict(data: bytes) -> int | str:
    try:
        return check(data)
    except BadCaption as bad:
        return bad.message


def fed(chunks: list[bytes]) -> int | str:
    file = Check()
    try:
        for chunk in chunks:
            file.feed(chunk)
        return file.finish()
    except BadCaption as bad:
        return bad.message


def oracle(data: bytes) -> int | None:
    """The cues that webvtt-py finds in strict mode, None where it refuses."""
    try:
        captions = webvtt.from_buffer(io.BytesIO(data), strict=True).captions
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError):
        return None
    return len(captions)


@pytest.mark.parametrize(
    ("data", "cues"),
    [
        (GOOD, 1),
        (b"\xef\xbb\xbf" + GOOD, 1),
        (GOOD.replace(b"\n", b"\r\n"), 1),
        (GOOD.replace(b"\n", b"\r"), 1),
        (GOOD.rstrip(b"\n"), 1),
        (b"WEBVTT - a title\nKind: captions\nLanguage: es\n\n" + CUE * 3, 3),
        (b"WEBVTT\tx\n\n1\n" + CUE + b"NOTE that's it\n\n2\n" + CUE, 2),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000 align:start line:0\nx", 1),
        (b"WEBVTT\n\n59:59.999 --> 01:00:00.000\nx\n", 1),
        (b"WEBVTT\n\n99:59:59.999 --> 100:00:00.000\nx\n", 1),
        (b"WEBVTT\n\n \t00:01.000-->00:02.000\t\nx\n", 1),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\n10:30", 1),
        (GOOD + b"00:05.000 --> 00:06.000 align:start\nx\n\n" + CUE, 3),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\n\xff\xfe is no UTF-8\n", 1),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\n", 1),
        (b"WEBVTT\n\nSTYLE\n::cue { color: red }\n\n" + CUE + b"NOTE end", 1),
    ],
)
def test_good_file(data: bytes, cues: int) -> None:
    assert check(data) == cues


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
        (b"WEBVTT", "WebVTT without a single cue"),
        (b"WEBVTT\n\nNOTE nothing\n", "WebVTT without a single cue"),
        (
            GOOD + b"00:00:05.000 --> 00:00:04.000\nx\n",
            "line 6 ends before it starts: '00:00:05.000 --> 00:00:04.000'",
        ),
        (
            b"WEBVTT\n\n01:00.000 --> 01:00.000\nx\n",
            "line 3 ends before it starts: '01:00.000 --> 01:00.000'",
        ),
        (
            b"WEBVTT\n\n01:00:00.000 --> 59:59.000\nx\n",
            "line 3 ends before it starts: '01:00:00.000 --> 59:59.000'",
        ),
        (GOOD + b"00:00:05,000 --> 00:00:06,000\nx\n", None),
        (GOOD + b"00:60.000 --> 01:61.000\nx\n", None),
        (GOOD + b"00:01.000 --> 00:02.0000\nx\n", None),
        (GOOD + b"1:00:01.000 --> 1:00:02.000\nx\n", None),
        (GOOD + b"00:01.000 --> 00:02.000 --> 00:03.000\nx\n", None),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nan --> arrow\n", None),
        (GOOD + b"x\n00:00:0", "the file is cut off in line 7"),
        (GOOD + b"00:00:05.000 -", "the file is cut off in line 6"),
        (GOOD + b"17", "the file is cut off in line 6"),
        (GOOD + b"00:00:05.000 --> 00:00:0", "the file is cut off in line 6"),
        (GOOD + b"00:00:05.000 --> 00:00:09.000", "the file is cut off in line 6"),
        (GOOD + b"x" * (MAX_LINE + 1), f"line 6 is longer than {MAX_LINE:,} bytes"),
        (GOOD + b"x" * (MAX_LINE + 1) + b"\n", f"line 6 is longer than {MAX_LINE:,} bytes"),
    ],
)
def test_bad_file(data: bytes, message: str | None) -> None:
    found = verdict(data)
    assert isinstance(found, str)
    assert message is None or found == message
    assert found.isprintable()


def test_longest_line_passes_in_any_chunks() -> None:
    data = GOOD + b"x" * MAX_LINE + b"\r\n" + CUE
    assert check(data) == 2
    ends = len(data) - len(CUE)
    assert fed([data[: ends - 1], data[ends - 1 :]]) == 2


def test_memory_is_one_chunk_and_one_line() -> None:
    file = Check()
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
            *[b"00:00:01.000 --> 00:00:02.000", b"00:00:02.000 --> 00:00:01.000 line:0"],
        ]
    ),
    max_size=12,
)
FILES = st.builds(
    lambda header, lines, ending, last: header + ending.join([*lines, last]),
    st.sampled_from([b"WEBVTT\n\n", b"WEBVTT\r\n\r\n", b"\xef\xbb\xbfWEBVTT\r\r", b"WEBVTT", b""]),
    LINES,
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]),
    st.sampled_from([b"", b"x", b"12", b"\r", b"00:01.000 --> 00:02.000"]),
)


@given(FILES, st.lists(st.integers(0, 4000), max_size=8))
@example(GOOD + b"00:00:05.000 --> 00:00:04.000\nx\n00:00 --> x\n", [40, 78])
def test_verdict_is_the_same_for_any_chunks(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert fed(chunks) == verdict(data)


@given(FILES)
def test_verdict_is_the_same_byte_by_byte(data: bytes) -> None:
    assert fed([bytes([byte]) for byte in data]) == verdict(data)


@given(FILES)
@example(b"WEBVTT\n\n" + CUE * 2 + b"00:05.000 --> 00:06.000\nx\n")
def test_how_timing_lines_are_spaced_changes_nothing(data: bytes) -> None:
    found, other = verdict(data), verdict(data.replace(b" --> ", b"\t-->  "))
    assert found == other or (isinstance(found, str) and isinstance(other, str))


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_mutated_files_never_crash(noise: bytes, start: int, end: int) -> None:
    whole = b"WEBVTT\n\n" + CUE * 6
    found = verdict(whole[:start] + noise + whole[end:])
    assert isinstance(found, int | str)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_cut_is_told_wherever_it_falls_in_a_timing_line(ending: bytes) -> None:
    whole = (b"WEBVTT\n\n1\n" + CUE + b"2\n" + CUE).replace(b"\n", ending)
    start = whole.index(b"2" + ending + b"00")
    for end in range(start + 1, whole.index(ending, start + 5) + 1):
        if not whole[:end].endswith((b"\r", b"\n")):
            with pytest.raises(BadCaption, match=r"cut off"):
                check(whole[:end])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20)
TIMES = st.integers(0, 400_000_000)


def stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"


@given(st.lists(st.tuples(TIMES, TIMES, TEXT), min_size=1, max_size=8), st.booleans())
def test_agrees_with_webvtt_py_on_clean_files(
    cues: list[tuple[int, int, str]], windows: bool
) -> None:
    blocks = [
        f"{stamp(start)} --> {stamp(end)}\n{text.replace('-->', '')}x\n"
        for start, end, text in cues
    ]
    data = "\n".join(["WEBVTT\n", *blocks]).encode()
    found = verdict(data.replace(b"\n", b"\r\n") if windows else data)
    if all(end > start for start, end, _ in cues):
        assert found == oracle(data) == len(cues)
    else:
        assert isinstance(found, str)


@pytest.mark.parametrize(
    ("data", "ours", "theirs"),
    [
        # Stricter: cues that end before they start, files without cues,
        # files cut in a timing line, and an arrow outside of a cue.
        (b"WEBVTT\n\n00:02.000 --> 00:01.000\nx\n", None, 1),
        (b"WEBVTT\n\nNOTE nothing\n", None, 0),
        (GOOD + b"00:00:0", None, 1),
        (GOOD + b"00:05.000 --> 00:06.000", None, 2),
        (b"WEBVTTX\n\n" + CUE, None, 1),
        (GOOD + b"NOTE a --> b\n", None, 1),
        # Looser: cue settings, and blocks that no empty line parts.
        (b"WEBVTT\n\n00:01.000 --> 00:02.000 colour:red\nx\n", 1, None),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nx\n00:02.000 --> 00:03.000\ny\n", 2, None),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nno UTF-8 \xff\n", 1, None),
    ],
)
def test_known_differences_from_webvtt_py(
    data: bytes, ours: int | None, theirs: int | None
) -> None:
    found = verdict(data)
    assert (found if isinstance(found, int) else None) == ours
    try:
        assert oracle(data) == theirs
    except UnicodeDecodeError:
        assert theirs is None
