"""The odd files of tests/cases/vtt, as Chromium's own parser reads them in a `<track>`."""

from __future__ import annotations

import base64
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

OTHER_IDENTIFIERS = {
    # Chromium takes the last line of the header for the identifier of a cue right below it, and
    # STYLE for none. The specification says otherwise (6.1, "collect a WebVTT block").
    "v13-no-blank-after-header.vtt",
    "v88-cue-in-header.vtt",
    "v96-style-with-times.vtt",
}


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> dict[str, list[list[Any]] | None]:
    """Return Chromium's cues by file, sorted by their times; None: it refuses the file."""
    page = new_page(browser)
    files = [(name, base64.b64encode((CASES / name).read_bytes()).decode()) for name in VERDICTS]
    verdicts: dict[str, list[list[Any]] | None] = page.evaluate(_READ, files)
    page.context.close()
    return verdicts


def test_corpus_has_the_verdict_of_chromium(
    chromium: dict[str, list[list[Any]] | None],
) -> None:
    counts = {name: None if read is None else len(read) for name, read in chromium.items()}
    assert counts == {name: verdict.chromium for name, verdict in VERDICTS.items()}


def test_corpus_file_of_which_chromium_shows_a_cue_is_never_refused(
    chromium: dict[str, list[list[Any]] | None],
) -> None:
    assert len(VERDICTS) >= 60
    assert [name for name, read in chromium.items() if read and VERDICTS[name].ours is None] == []


def test_corpus_cues_are_those_of_chromium(chromium: dict[str, list[list[Any]] | None]) -> None:
    for name, read in chromium.items():
        try:
            ours = [[cue.start, cue.end, cue.text, cue.identifier] for cue in _cues(name)]
        except BadCaption:
            ours = []
        expected = read or []
        if name in OTHER_IDENTIFIERS:
            ours, expected = ([cue[:3] for cue in side] for side in (ours, expected))
        # The list of a track is sorted by start, and then by the latest end.
        assert sorted(ours, key=lambda cue: (cue[0], -cue[1])) == expected, name


def _cues(name: str) -> Any:
    return list(cues((CASES / name).read_bytes()))
