"""Language tags (BCP 47), checked once for each distinct cell.

A tag whose subtags are registered is accepted. One with an unregistered subtag is accepted
too if it is well-formed and its primary subtag has two or three letters: providers know
languages that the registry does not. `is_registered` tells them apart.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from batchcap.domain.languages import canonical
from batchcap.manifest.messages import InvalidValue, describe, quote

SEPARATOR = ";"

_SYNTAX = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_SHORT_PRIMARY = re.compile(r"[A-Za-z]{2,3}(?:-|$)")

_REGISTERED_SINCE = {
    "en": "ajs bpc cls cnq cxh dsk dsz dyr egm eud gov ikh imt isv izm lgo lgs lqr lsc lsw lvl nww "
    "nzr oie phj pze pzh rib rnb rrm rsk rsn rsw tok tvi ugh uly uon vjk vsn wdt wtb wyn xdq xhm "
    "ycr ykh zcd zem zlu",
    "Latn": "Chis Gara Gukh Kawi Krai Nagm Onao Sidt Sunu Tayo Todr Tols Tutg",
    "US": "CQ",
    "1996": "anpezo bciav bcizbl blasl fascia fodom gherd ltg1929 ltg2007 pehoeji tailo valbadia",
}
"""Subtags of the IANA registry of 2024-05-16 that langcodes, whose copy is of 2021-08-06, lacks.

Languages, scripts, regions and variants, each under a subtag of its type that langcodes has.
"""
_STAND_INS = {
    subtag.lower(): stand_in
    for stand_in, subtags in _REGISTERED_SINCE.items()
    for subtag in subtags.split()
}

_COMMON = "es;fr;de;it;pt-BR;nl;pl;sv;tr;ru;uk;ar;he;hi;id;vi;th;ja;ko;zh-Hans;zh-Hant"

_COUNTRIES = {
    "jp": "ja",
    "cz": "cs",
    "dk": "da",
    "gr": "el",
    "ua": "uk",
    "cn": "zh",
    "vn": "vi",
    "us": "en",
    "at": "de",
    "mx": "es",
    "il": "he",
    "rs": "sr",
}
"""Countries that are taken for languages, and the language that is probably meant."""


def tag(value: Any) -> str:
    """Accept one language tag, as given but for `_`, which becomes `-`.

    Raises:
        InvalidValue: It is not a language tag.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"expected a language tag like 'es', got {describe(value)}")
    text = value.strip()
    if error := _error(text):
        raise InvalidValue(error)
    return text.replace("_", "-")


def tags(value: Any) -> tuple[str, ...]:
    """Accept the tags of a cell (`es;pt-BR`) or of a JSON list, each once, in their order.

    Raises:
        InvalidValue: One or more are wrong; the message names all of them.
    """
    if isinstance(value, str):
        accepted, errors = _split(value)
    elif isinstance(value, list):
        accepted, errors = _distinct([tag_text(item) for item in value])
    else:
        raise InvalidValue(f"expected language tags, got {describe(value)}")
    if errors:
        raise InvalidValue(errors)
    if not accepted:
        raise InvalidValue("names no language")
    return accepted


def tag_text(value: Any) -> str:
    """Accept an item of a list of tags.

    Raises:
        InvalidValue: It is not a string.
    """
    if isinstance(value, str):
        return value
    raise InvalidValue(f"expected a list of language tags, got {describe(value)} in it")


@functools.lru_cache(maxsize=4096)
def is_registered(text: str) -> bool:
    """Return whether every subtag of a tag is in the IANA registry."""
    import langcodes

    primary, *others = text.split("-")
    replaced = [_STAND_INS.get(subtag.lower(), subtag) for subtag in others]
    if _STAND_INS.get(primary.lower()) == "en":
        primary = "en"
    return langcodes.tag_is_valid("-".join([primary, *replaced]))


@functools.lru_cache(maxsize=4096)
def has_odd_capitals(text: str) -> bool:
    """Return whether a tag is commonly written with other capitals, as `PT-br` is `pt-BR`."""
    import langcodes

    if not is_registered(text):
        return False
    common = langcodes.standardize_tag(text)
    return common != text and common.lower() == text.lower()


def note(text: str) -> str:
    """Return what to tell the user about an accepted tag, "" if there is nothing."""
    if is_registered(text):
        return _newer(text)
    primary, hyphen, rest = text.partition("-")
    country = _COUNTRIES.get(primary.lower())
    hint = f"; is it {quote(country + hyphen + rest)}?" if country else ""
    return f"{quote(text)} is not in the registry of languages; it is passed on as it is{hint}"


def _newer(text: str) -> str:
    """Return a note about a tag that was replaced by another one, such as `iw` by `he`."""
    import langcodes

    given, today = text.partition("-")[0].lower(), langcodes.standardize_tag(text)
    newer = today.partition("-")[0]
    if len(given) > 2 or newer == given:
        return ""
    return f"{quote(text)} is {quote(today)} today; it is passed on as it is"


@functools.lru_cache(maxsize=4096)
def _split(cell: str) -> tuple[tuple[str, ...], str]:
    return _distinct(cell.split(SEPARATOR))


def _distinct(texts: list[str]) -> tuple[tuple[str, ...], str]:
    """Return the distinct languages (`he` and `iw` are one), and what is wrong with them."""
    distinct: dict[str, str] = {}
    for text in filter(None, map(str.strip, texts)):
        distinct.setdefault(canonical(text.replace("_", "-")), text)
    accepted = tuple(text.replace("_", "-") for text in distinct.values())
    return accepted, ", ".join(filter(None, map(_error, distinct.values())))


@functools.lru_cache(maxsize=4096)
def _error(text: str) -> str:
    """Return what is wrong with a tag, "" if it can be passed on."""
    tag = text.replace("_", "-")  # as Java and POSIX write it
    if tag.lower() == "all":  # the registry has it, as Allar of India
        return f"'all' is not a language here: name them, such as {_COMMON}"
    is_short = bool(_SHORT_PRIMARY.match(tag))
    if _SYNTAX.fullmatch(tag) and (is_registered(tag) or (is_short and _is_well_formed(tag))):
        return ""
    return f"{quote(text)} is not a language tag{_hint(text)}"


def _is_well_formed(text: str) -> bool:
    import langcodes

    try:
        return bool(langcodes.Language.get(text, normalize=False).language)
    except ValueError:
        return False


def _hint(text: str) -> str:
    # Only a wrong tag needs the names of all languages.
    from batchcap.domain.language_names import tag_of

    if named := tag_of(text):
        return f" (write {named})"
    if re.search(r"[,|/ ]", text):
        return f" (several are separated by {SEPARATOR!r})"
    return " (such as es or pt-BR)"
