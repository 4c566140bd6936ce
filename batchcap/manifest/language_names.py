"""The tag of a language that was given by its name."""

from __future__ import annotations

import functools
import re

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
    "vietnam": "VN",
    "czechia": "CZ",
}
"""Regions and scripts beside the registry's names."""


def tag_of(text: str) -> str | None:
    """Return the tag of a language's name, such as `Spanish (Mexico)`; None if it is not one.

    Names are those of the IANA registry, in English, and the commonest native ones.
    """
    name = " ".join(text.split()).casefold()
    names, qualifiers = _names()
    if name in names:
        return names[name]
    if not (match := _QUALIFIED.fullmatch(name)):
        return None
    base = names.get(match["name"] or match["other"])
    qualifier = qualifiers.get((match["qualifier"] or match[4]).strip())
    return f"{base}-{qualifier}" if base and qualifier else base


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
