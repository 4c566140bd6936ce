"""Language tags and the names that the providers give to languages.

Mux names an uploaded track `Spanish (Auto-translated)` unless the create has a name for it.
HeyGen's creates and its list of languages have names such as `Spanish (Spain)`, and an id
often ends with the tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache


def _parse(table: str) -> Mapping[str, str]:
    """Return names by code from a table of `code name` with commas between them."""
    entries = table.replace("\n", " ").split(", ")
    return dict(entry.strip().split(" ", 1) for entry in entries)


_NAMES = _parse("""
af Afrikaans, am Amharic, ar Arabic, as Assamese, az Azerbaijani, be Belarusian, bg Bulgarian, bn
Bengali, bs Bosnian, ca Catalan, cs Czech, cy Welsh, da Danish, de German, el Greek, en English,
es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fil Filipino, fr French, ga Irish, gl
Galician, gu Gujarati, ha Hausa, he Hebrew, hi Hindi, hr Croatian, hu Hungarian, hy Armenian, id
Indonesian, ig Igbo, is Icelandic, it Italian, ja Japanese, jv Javanese, ka Georgian, kk Kazakh,
km Khmer, kn Kannada, ko Korean, ky Kyrgyz, la Latin, lb Luxembourgish, lo Lao, lt Lithuanian, lv
Latvian, mg Malagasy, mi Maori, mk Macedonian, ml Malayalam, mn Mongolian, mr Marathi, ms Malay,
mt Maltese, my Burmese, nb Norwegian Bokmål, ne Nepali, nl Dutch, nn Norwegian Nynorsk, no
Norwegian, or Odia, pa Punjabi, pl Polish, ps Pashto, pt Portuguese, ro Romanian, ru Russian, sd
Sindhi, si Sinhala, sk Slovak, sl Slovenian, so Somali, sq Albanian, sr Serbian, su Sundanese, sv
Swedish, sw Swahili, ta Tamil, te Telugu, tg Tajik, th Thai, tk Turkmen, tl Tagalog, tr Turkish,
uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, xh Xhosa, yi Yiddish, yo Yoruba, yue Cantonese, zh
Chinese, zu Zulu
""")

_REGIONS = _parse("""
AE United Arab Emirates, AR Argentina, AT Austria, AU Australia, BE Belgium, BR Brazil, CA Canada,
CH Switzerland, CL Chile, CN China, CO Colombia, DE Germany, EG Egypt, ES Spain, FR France, GB
United Kingdom, HK Hong Kong, IE Ireland, IN India, IT Italy, JP Japan, KR South Korea, MA
Morocco, MX Mexico, NG Nigeria, NL Netherlands, NZ New Zealand, PE Peru, PK Pakistan, PT Portugal,
RU Russia, SA Saudi Arabia, SG Singapore, TW Taiwan, US United States, UY Uruguay, VE Venezuela,
ZA South Africa, 419 Latin America, Hans Simplified, Hant Traditional, Cyrl Cyrillic, Latn Latin
""")
"""Names of regions and scripts."""

VARIETIES: tuple[str, ...] = (
    *("ar-AE", "ar-EG", "ar-MA", "ar-SA", "de-AT", "de-CH", "de-DE", "en-AU", "en-CA", "en-GB"),
    *("en-IE", "en-IN", "en-NG", "en-NZ", "en-SG", "en-US", "en-ZA", "es-419", "es-AR", "es-CL"),
    *("es-CO", "es-ES", "es-MX", "es-PE", "es-US", "es-UY", "es-VE", "fr-BE", "fr-CA", "fr-CH"),
    *("fr-FR", "hi-IN", "it-IT", "ja-JP", "ko-KR", "nl-BE", "nl-NL", "pt-BR", "pt-PT", "ru-RU"),
    *("ur-IN", "ur-PK", "zh-CN", "zh-HK", "zh-SG", "zh-TW"),
)
"""The tags of the languages with a region that HeyGen's list names in addition."""


def display_name(tag: str) -> str:
    """Return the English name of a language, `Portuguese (Brazil)` for `pt-BR`.

    Parts without a name are shown as they are, so that the names of two tags always differ.
    """
    primary, *others = tag.split("-")
    name = _NAMES.get(primary.lower(), primary)
    shown = [
        _REGIONS.get(part.title() if len(part) == 4 else part.upper(), part) for part in others
    ]
    return f"{name} ({', '.join(shown)})" if shown else name


@lru_cache(maxsize=1)
def tags_by_name() -> Mapping[str, str]:
    """Return the tag of each language that HeyGen can translate to, by its name."""
    return {display_name(tag): tag for tag in sorted([*_NAMES, *VARIETIES], key=display_name)}


@lru_cache(maxsize=4096)
def primary_language(tag: str) -> str:
    """Return the language of a tag without region and script: `pt` for `pt-BR` and `por`.

    Mux maps ISO 639-3 to 639-1 here; two codes of two letters are never one language.
    """
    primary = tag.partition("-")[0].lower()
    if len(primary) < 3:
        return primary
    import langcodes  # takes 50 ms, which commands without a sandbox need not pay

    try:
        short = langcodes.standardize_tag(primary)
    except ValueError:  # not a tag: `auto`
        return primary
    return short if len(short) == 2 else primary
