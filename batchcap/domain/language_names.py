"""Names of languages: the tag of a name, and the names of a tag, English and the language's own.

The names of tags are those of CLDR (package language-data). HeyGen names languages as
`Spanish (Spain)`, `Arabic (World)` and `Chinese (Cantonese, Traditional)`; what is none of
these stays a label.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_QUALIFIED = re.compile(r"(?P<name>[^()]+?)\s*\((?P<qualifier>[^()]+)\)|(?P<other>.+?)\s+-\s+(.+)")

_OTHER_NAMES = {
    "brazilian portuguese": "pt-BR",
    "european portuguese": "pt-PT",
    "castilian": "es",
    "latin american spanish": "es-419",
    "mexican spanish": "es-MX",
    "farsi": "fa",
    "canadian french": "fr-CA",
    "british english": "en-GB",
    "american english": "en-US",
    "simplified chinese": "zh-Hans",
    "traditional chinese": "zh-Hant",
    "mandarin": "zh",
    "chinese (cantonese, traditional)": "yue-Hant",
    "chinese (cantonese, simplified)": "yue-Hans",
    "chinese (wu, simplified)": "wuu-Hans",
    "chinese (taiwanese mandarin, traditional)": "zh-TW",
    "norwegian bokmål": "nb",
    "filipino": "fil",
    "tagalog": "fil",
    "greek": "el",
    "norwegian": "no",
    "punjabi": "pa",
    "español": "es",
    "castellano": "es",
    "deutsch": "de",
    "français": "fr",
    "italiano": "it",
    "português": "pt",
    "nederlands": "nl",
    "svenska": "sv",
    "dansk": "da",
    "norsk": "no",
    "suomi": "fi",
    "polski": "pl",
    "čeština": "cs",
    "slovenčina": "sk",
    "magyar": "hu",
    "română": "ro",
    "türkçe": "tr",
    "hrvatski": "hr",
    "bahasa indonesia": "id",
    "català": "ca",
    "tiếng việt": "vi",
    "русский": "ru",
    "українська": "uk",
    "български": "bg",
    "ελληνικά": "el",
    "עברית": "he",
    "العربية": "ar",
    "فارسی": "fa",
    "हिन्दी": "hi",
    "ไทย": "th",
    "日本語": "ja",
    "中文": "zh",
    "简体中文": "zh-Hans",
    "繁體中文": "zh-Hant",
    "한국어": "ko",
}
"""Names beside those of the registry: the languages' own, and what people write."""

_QUALIFIERS = {
    "latin america": "419",
    "latam": "419",
    "simplified": "Hans",
    "traditional": "Hant",
    "usa": "US",
    "us": "US",
    "uk": "GB",
    "great britain": "GB",
    "brasil": "BR",
    "españa": "ES",
    "taiwan": "TW",
    "russia": "RU",
    "south korea": "KR",
    "latin": "Latn",
    "world": "001",
    "united kingdom": "GB",
    "united states": "US",
    "turkey": "TR",
    "türkiye": "TR",
    "hong kong": "HK",
    "macau": "MO",
    "iran": "IR",
    "bolivia": "BO",
    "venezuela": "VE",
    "tanzania": "TZ",
    "syria": "SY",
    "laos": "LA",
    "moldova": "MD",
    "bosnia": "BA",
    "cyrillic": "Cyrl",
    "mandarin": "",
    "taiwanese mandarin": "TW",
    "vietnam": "VN",
    "czechia": "CZ",
    "hong kong sar": "HK",
    "korea": "KR",
    "macao": "MO",
    "myanmar": "MM",
    "palestinian territories": "PS",
    "ivory coast": "CI",
    "côte d'ivoire": "CI",
}
"""Regions and scripts beside the registry's names."""


def tag_of(text: str) -> str | None:
    """Return the tag of a language's name, such as `Spanish (Mexico)`; None if it is not one.

    Names are those of the IANA registry, in English, and the commonest native ones. A name
    with an unknown region or dialect is none: its language alone would be another one.
    """
    name = " ".join(text.split()).casefold()
    names, qualifiers = _names()
    if name in names:
        return names[name]
    if not (match := _QUALIFIED.fullmatch(name)):
        return None
    base = names.get(match["name"] or match["other"])
    parts = [part.strip() for part in (match["qualifier"] or match[4]).split(",")]
    if base is None or (match["qualifier"] and not qualifiers.keys() >= set(parts)):
        return None
    subtags = sorted({qualifiers.get(part, "") for part in parts}, key=_is_region)
    return "-".join([base, *filter(None, subtags)])


def _is_region(subtag: str) -> bool:
    """Return whether a subtag is a region, which stands after a script."""
    return len(subtag) < 4


class LanguageName(NamedTuple):
    """The tag of a language, and its names in English and in itself; "" if they are unknown."""

    tag: str
    english: str
    own: str

    def __str__(self) -> str:
        names = self.english if self.own in {"", self.english} else f"{self.english}, {self.own}"
        return f"{self.tag}: {names}" if names else self.tag


@functools.lru_cache(maxsize=4096)
def named(label: str) -> LanguageName:
    """Return the names of a row's language, given as a tag or by a name.

    A label that is neither is its own tag, without names.
    """
    import langcodes

    tag = label.replace("_", "-")
    if not langcodes.tag_is_valid(tag):
        tag = tag_of(label) or label
    language = langcodes.Language.get(tag) if langcodes.tag_is_valid(tag) else None
    if language is None or not language.language or language.language == "und":
        return LanguageName(label, "", "")
    english, own = language.display_name("en"), language.autonym()
    if english.startswith("Unknown language"):
        return LanguageName(label, "", "")
    own = "" if own.startswith("Unknown language") else own
    return LanguageName(tag, english, own)


@functools.cache
def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Return the tags of all names, and the subtags of regions and scripts."""
    from langcodes.registry_parser import parse_registry

    names: dict[str, str] = {}
    qualifiers: dict[str, str] = {}
    for record in parse_registry():  # type: ignore[no-untyped-call]  # langcodes has none
        into = {"language": names, "region": qualifiers, "script": qualifiers}.get(record["Type"])
        if into is not None and "Deprecated" not in record:
            descriptions = record["Description"]
            for description in [descriptions] if isinstance(descriptions, str) else descriptions:
                into.setdefault(re.sub(r" \(.*", "", description).casefold(), record["Subtag"])
    return {**names, **_OTHER_NAMES}, {**qualifiers, **_QUALIFIERS}
