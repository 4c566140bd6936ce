"""Whether the letters of a text are of a script in which its language is written."""

from __future__ import annotations

import functools
from collections.abc import Callable

from batchcap.domain.languages import canonical, language_and_script

MIN_LETTERS = 4
"""Letters of another script that a cue must have to be noted: a unit or a letter is no language."""

_SCRIPTS = {
    "Hans": ("Han", "Bopomofo"),
    "Hant": ("Han", "Bopomofo"),
    "Jpan": ("Han", "Hiragana", "Katakana"),
    "Kore": ("Hangul", "Han"),
    **{
        code: (name,)
        for code, name in {
            "Arab": "Arabic",
            "Armn": "Armenian",
            "Beng": "Bengali",
            "Cyrl": "Cyrillic",
            "Deva": "Devanagari",
            "Ethi": "Ethiopic",
            "Geor": "Georgian",
            "Grek": "Greek",
            "Gujr": "Gujarati",
            "Guru": "Gurmukhi",
            "Hebr": "Hebrew",
            "Khmr": "Khmer",
            "Knda": "Kannada",
            "Laoo": "Lao",
            "Latn": "Latin",
            "Mlym": "Malayalam",
            "Mymr": "Myanmar",
            "Orya": "Oriya",
            "Sinh": "Sinhala",
            "Taml": "Tamil",
            "Telu": "Telugu",
            "Thai": "Thai",
        }.items()
    },
}
"""The scripts (Unicode UAX 24) of a language's code for its writing (ISO 15924)."""

_ALSO = {
    "az": ("Cyrillic", "Arabic"),
    "bs": ("Cyrillic",),
    "ha": ("Arabic",),
    "kk": ("Latin", "Arabic"),
    "ku": ("Arabic", "Cyrillic"),
    "ky": ("Latin", "Arabic"),
    "mn": ("Mongolian",),
    "ms": ("Arabic",),
    "pa": ("Arabic",),
    "sr": ("Latin",),
    "tg": ("Latin", "Arabic"),
    "tk": ("Cyrillic", "Arabic"),
    "ug": ("Cyrillic", "Latin"),
    "uz": ("Cyrillic", "Arabic"),
}
"""The other scripts of languages with several (CLDR), if the tag does not name one."""


def script_check(language: str | None) -> Callable[[str], bool] | None:
    """Return a function that says if a text is not in the script of a language.

    It is not if it has `MIN_LETTERS` of other scripts and none of its own: names in Latin
    letters are in the captions of any language. None if the language or its script is unknown.
    """
    primary, script = language_and_script(language) if language else ("", "")
    scripts = _SCRIPTS.get(script)
    if scripts is None:
        return None
    names_script = any(
        len(part) == 4 and part.isalpha() for part in canonical(language or "").split("-")
    )
    return _check(scripts if names_script else scripts + _ALSO.get(primary, ()))


@functools.cache
def _check(scripts: tuple[str, ...]) -> Callable[[str], bool]:
    import regex

    names = "".join(rf"\p{{Script={name}}}" for name in scripts)
    own = regex.compile(rf"[\p{{L}}&&[{names}]]", regex.V1)
    letters = regex.compile(r"[\p{L}--[\p{Script=Common}\p{Script=Inherited}]]", regex.V1)

    def is_foreign(text: str) -> bool:
        return not own.search(text) and len(letters.findall(text)) >= MIN_LETTERS

    return is_foreign
