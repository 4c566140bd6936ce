"""Which language tags mean one language, whatever their spelling.

langcodes is imported when it is first needed: its data takes 50 ms, which
`batchcap --help` need not pay.
"""

from __future__ import annotations

import functools

_NORWEGIAN = {"nb": "no"}
"""Bokmål is what `no` stands for (CLDR); langcodes keeps the two apart."""


@functools.lru_cache(maxsize=4096)
def canonical(tag: str) -> str:
    """Return the same small letters for all spellings of one language.

    `iw` is `he`, `in` is `id`, `nb` is `no`, `eng` is `en`, `pt_br` is `pt-br`. Text that is
    no tag is returned in small letters.
    """
    import langcodes

    try:
        standard = langcodes.standardize_tag(tag).lower()
    except ValueError:
        return tag.lower()
    primary, hyphen, rest = standard.partition("-")
    return _NORWEGIAN.get(primary, primary) + hyphen + rest


def primary_language(tag: str) -> str:
    """Return the language of a tag without script and region: `pt` for `pt-BR` and `por`."""
    return canonical(tag).partition("-")[0]


@functools.lru_cache(maxsize=4096)
def language_and_script(tag: str) -> tuple[str, str]:
    """Return the primary language and the script of a tag, an implied script included.

    `zh-TW` is in the script of `zh-Hant`, `zh-CN` and `zh` in that of `zh-Hans`.
    """
    import langcodes

    standard = canonical(tag)
    try:
        full = langcodes.Language.get(standard).maximize()
    except ValueError:
        return standard.partition("-")[0], ""
    return full.language or "und", full.script or ""
