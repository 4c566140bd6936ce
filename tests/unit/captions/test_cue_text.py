"""Characters as readers count them, compared with the rules of Unicode."""

from __future__ import annotations

import regex
from hypothesis import given
from hypothesis import strategies as st

from batchcap.captions.cue_text import characters, plain, width

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\r")
    | st.sampled_from("aé日本한ガabc \u0301\u200d🇩🇪👨👩🏽।क्षिنَ\n")
)


@given(TEXTS)
def test_characters_of_any_text_are_its_grapheme_clusters(text: str) -> None:
    assert characters(text) == len([one for one in regex.findall(r"\X", text) if one != "\n"])


@given(TEXTS)
def test_width_of_any_text_is_at_most_its_characters(text: str) -> None:
    assert characters(text) / 2 <= width(text) <= characters(text)


def test_width_counts_what_is_not_full_width_half() -> None:
    assert [width(text) for text in ("日本", "ab", "日a", "ｱｲ", "日\n本", "한글 ")] == [
        2,
        1,
        1.5,
        1,
        2,
        2.5,
    ]


def test_plain_text_has_neither_markup_nor_references() -> None:
    assert plain("<v Ann>a</v> <00:00:01.000>&amp;&lt;b&gt;<i") == "a &<b>"
