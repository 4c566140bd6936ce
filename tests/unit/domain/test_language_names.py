"""Names of languages, in both directions."""

from __future__ import annotations

import pytest

from batchcap.domain.language_names import named, tag_of
from batchcap.manifest import languages
from batchcap.manifest.messages import InvalidValue

HEYGEN = {
    "English": "en",
    "Spanish": "es",
    "Filipino": "fil",
    "Mandarin": "zh",
    "Spanish (Spain)": "es-ES",
    "Spanish (Mexico)": "es-MX",
    "Spanish (Latin America)": "es-419",
    "Portuguese (Brazil)": "pt-BR",
    "English (United Kingdom)": "en-GB",
    "English (United States)": "en-US",
    "Arabic (World)": "ar-001",
    "Arabic (Saudi Arabia)": "ar-SA",
    "Chinese (Mandarin, Simplified)": "zh-Hans",
    "Chinese (Cantonese, Traditional)": "yue-Hant",
    "Chinese (Taiwanese Mandarin, Traditional)": "zh-TW",
    "Serbian (Latin, Serbia)": "sr-Latn-RS",
    "Uzbek (Latin, Uzbekistan)": "uz-Latn-UZ",
    "Norwegian Bokmål (Norway)": "nb-NO",
    "Welsh (United Kingdom)": "cy-GB",
    "Turkish (Türkiye)": "tr-TR",
    "English - Your Accent": "en",
    "English (Hong Kong SAR)": "en-HK",
    "Korean (Korea)": "ko-KR",
    "Burmese (Myanmar)": "my-MM",
    "Javanese (Latin, Indonesia)": "jv-Latn-ID",
    "Spanish (Bolivia)": "es-BO",
}
"""Names as HeyGen's lists have them, and the tags that they mean."""


@pytest.mark.parametrize(("name", "tag"), HEYGEN.items())
def test_name_of_heygen_has_its_tag_and_its_tag_has_names(name: str, tag: str) -> None:
    assert tag_of(name) == tag
    assert named(name) == named(tag)
    assert named(name).english
    assert named(name).own


@pytest.mark.parametrize(
    ("tag", "english", "own"),
    [
        ("es", "Spanish", "español"),
        ("pt-BR", "Portuguese (Brazil)", "português (Brasil)"),
        ("ja", "Japanese", "日本語"),
        ("iw", "Hebrew", "עברית"),
        ("zh-Hans", "Chinese (Simplified)", "中文（简体）"),
        ("sr-Latn", "Serbian (Latin)", "srpski (latinica)"),
        ("es-419", "Spanish (Latin America)", "español (Latinoamérica)"),
    ],
)
def test_tag_has_its_english_name_and_its_own(tag: str, english: str, own: str) -> None:
    assert named(tag) == (tag, english, own)
    assert named(tag.replace("-", "_")) == (tag, english, own)


@pytest.mark.parametrize(
    "label",
    [
        "Klingonish",
        "Spanish (Mars)",
        "Chinese (Zhongyuan Mandarin Henan, Simplified)",
        "",
        "auto",
        "x-foo",
        "take 2",
        "\udcff",
        "a" * 500,
    ],
)
def test_label_that_is_no_language_stays_as_it_is(label: str) -> None:
    assert named(label) == (label, "", "")
    assert str(named(label)) == label


def test_name_is_shown_once_if_both_are_equal() -> None:
    assert str(named("en")) == "en: English"
    assert str(named("Spanish (Spain)")) == "es-ES: Spanish (Spain), español (España)"


@pytest.mark.parametrize("text", ["all", "ALL"])
def test_all_is_refused_with_the_languages_to_type(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"not a language here: name them, such as es;fr;"):
        languages.tags(text)


@pytest.mark.parametrize(("tag", "today"), [("iw", "'he'"), ("in-ID", "'id-ID'"), ("tl", "'fil'")])
def test_tag_that_was_replaced_is_accepted_with_a_note(tag: str, today: str) -> None:
    assert languages.tag(tag) == tag
    assert f"is {today} today" in languages.note(tag)


@pytest.mark.parametrize("tag", ["he", "nb", "no", "fil", "zh-CN", "es-419", "sr-Latn", "ES"])
def test_tag_of_today_has_no_note(tag: str) -> None:
    assert languages.note(tag) == ""
