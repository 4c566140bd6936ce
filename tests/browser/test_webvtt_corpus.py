"""The odd files of tests/cases/vtt, as Chromium's own parser reads them in a `<track>`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest
from playwright.sync_api import Browser

from batchcap.captions.webvtt import cues
from batchcap.domain.errors import BadCaption
from tests.browser.conftest import new_page
from tests.harness.corpus import CASES, VERDICTS

_READ = """async files => {
  const video = document.createElement('video');
  document.body.append(video);
  const read = data => new Promise(resolve => {
    const track = document.createElement('track');
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const time = seconds => Math.round(seconds * 1000);
    const cue = one => [time(one.startTime), time(one.endTime), one.text, one.id];
    track.src = URL.createObjectURL(new Blob([bytes], {type: 'text/vtt'}));
    track.onload = () => { resolve(Array.from(track.track.cues, cue)); track.remove(); };
    track.onerror = () => { resolve(null); track.remove(); };
    video.append(track);
    track.track.mode = 'hidden';
  });
  const verdicts = {};
  for (const [name, data] of files) verdicts[name] = await read(data);
  return verdicts;
}"""

Cues = list[list[Any]]
"""Start, end, text and identifier of each cue; times in milliseconds."""

OTHER_IDENTIFIERS = {
    # Chromium takes the last line of the header for the identifier of a cue right below it, and
    # STYLE for none. The specification says otherwise (6.1, "collect a WebVTT block").
    "v13-no-blank-after-header.vtt",
    "v88-cue-in-header.vtt",
    "v96-style-with-times.vtt",
}


HEADERS = (b"WEBVTT", b"WEBVTT", b"\xef\xbb\xbfWEBVTT", b"WEBVTT\tx --> y", b"WEBVTTx", b"webvtt")
LINES = (
    *(b"", b"", b"1", b"x", b"NOTE a", b"NOTE", b"STYLE", b"REGION", b"-->", b"a --> b", b" "),
    *(b"WEBVTT", b"id:a", b"\xff\xfe", b"<i>&amp;\0", b"\xef\xbb\xbf", b"NOTE --> x"),
    *(b"00:01.000 --> 00:02.000", b"00:02.000 --> 00:01.000", b"00:01.00 --> 00:02.000"),
    *(b"0:00:01.000-->\t00:00:02.000", b"00:01.000 --> 00:02.0001", b"00:60.000 --> 00:61.000"),
    *(b"70:00.000 --> 71:00.000", b"00:03.000 --> 00:04.000x", b"\t00:03.000 --> 00:04.000 line:0"),
    *(
        b"\xc2\xa000:03.000 --> 00:04.000",
        b"00:03.000 --> 00:04.000.5",
        b"100:00:00.000-->101:00:00.000",
    ),
)


def generated(count: int) -> Iterator[bytes]:
    """Yield files of lines that matter to a parser, always the same ones."""
    random = Random(1)
    for _ in range(count):
        end = random.choice((b"\n", b"\r\n", b"\r"))
        header = random.choice(HEADERS) + end * random.choice((1, 2))
        data = header + end.join(random.choices(LINES, k=random.randint(0, 9)))
        yield data.decode(errors="replace").encode("utf-16") if not random.randrange(40) else data


def read_by_chromium(browser: Browser, files: Mapping[str, bytes]) -> dict[str, Cues | None]:
    """Return Chromium's cues by file, sorted by their times; None: it refuses the file."""
    page = new_page(browser)
    encoded = [(name, base64.b64encode(data).decode()) for name, data in files.items()]
    verdicts: dict[str, Cues | None] = page.evaluate(_READ, encoded)
    page.context.close()
    return verdicts


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> dict[str, Cues | None]:
    return read_by_chromium(browser, {name: (CASES / name).read_bytes() for name in VERDICTS})


def test_corpus_has_the_verdict_of_chromium(
    chromium: dict[str, Cues | None],
) -> None:
    counts = {name: None if read is None else len(read) for name, read in chromium.items()}
    assert counts == {name: verdict.chromium for name, verdict in VERDICTS.items()}


def test_corpus_file_of_which_chromium_shows_a_cue_is_never_refused(
    chromium: dict[str, Cues | None],
) -> None:
    assert len(VERDICTS) >= 60
    assert [name for name, read in chromium.items() if read and VERDICTS[name].ours is None] == []


def test_corpus_cues_are_those_of_chromium(chromium: dict[str, Cues | None]) -> None:
    for name, read in chromium.items():
        ours, expected = our_cues((CASES / name).read_bytes()), read or []
        if name in OTHER_IDENTIFIERS:
            ours, expected = without_identifiers(ours), without_identifiers(expected)
        assert ours == expected, name


def test_generated_files_have_the_cues_of_chromium(browser: Browser) -> None:
    files = {str(number): data for number, data in enumerate(generated(1000))}
    for name, read in read_by_chromium(browser, files).items():
        ours = without_identifiers(our_cues(files[name]))
        assert ours == without_identifiers(read or []), files[name]


def our_cues(data: bytes) -> Cues:
    """Return the cues of a file in the order of a track: by start, and then by the latest end."""
    try:
        read = [[cue.start, cue.end, cue.text, cue.identifier] for cue in cues(data)]
    except BadCaption:
        return []
    return sorted(read, key=lambda cue: (cue[0], -cue[1]))


def without_identifiers(read: Cues) -> Cues:
    return [cue[:3] for cue in read]
