"""Which columns a manifest may have, and what each must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from batchcap.domain.models import Json
from batchcap.manifest.messages import quote

Converter = Callable[[Any], Any]


class Columns(msgspec.Struct, frozen=True):
    """What a provider's rows are made of.

    `ids` are the names that its id column goes by. `targets` is the column of
    target languages (one row each), `label` the column that only names a
    language; a provider has one of the two. `params` are handed to the API.

    `id_urls` matches the URLs of the provider that hold an id, which is its group;
    `other_urls` those that hold another one, each with a message about it.
    `source_language` is the param that --from stands in for, unless the row has a
    `source_track`.
    """

    ids: tuple[str, ...]
    params: Mapping[str, Converter]
    targets: str | None = None
    label: str | None = None
    source_language: str | None = None
    source_track: str | None = None
    id_urls: str = ""
    other_urls: Mapping[str, str] = {}
    problems: Callable[[Json, Sequence[str | None]], list[str]] = lambda _params, _languages: []
    """Returns the problems of the params and the target languages of a record together."""

    def names(self) -> set[str]:
        """Return every column that means something to this provider."""
        labels = {name for name in (self.targets, self.label) if name}
        return {*self.ids, *self.params, *labels}


class Schema:
    """The columns that a manifest may have, given each provider's.

    `provider` is that of rows that imply none. `has_targets`: rows need no column of
    target languages.
    """

    def __init__(
        self,
        providers: Mapping[str, Columns],
        provider: str | None = None,
        *,
        has_targets: bool = True,
    ) -> None:
        self.providers, self.provider, self.has_targets = providers, provider, has_targets
        self.ids = {
            name: provider for provider, columns in providers.items() for name in columns.ids
        }
        """Each id column, and the provider that it implies."""
        self.columns = {"provider", "key", "name"}.union(
            *(own.names() for own in providers.values())
        )
        """Every column that means something to batchcap."""

    def missing_targets(self, names: Iterable[str]) -> str | None:
        """Return the column of target languages that every row of a table lacks, if it does."""
        implied = {self.ids[name] for name in names if name in self.ids}
        if self.has_targets or len(implied) != 1:
            return None
        column = self.providers[implied.pop()].targets
        return column if column and column not in names else None


def missing_languages(column: str, others: Iterable[str]) -> str:
    """Return the problem of a row or a table without target languages.

    `others` are the columns that it has; the likely one is named.
    """
    likely = next((name for name in others if LIKE_TARGETS.fullmatch(plain(name))), None)
    hint = f"; the target languages go into {column}, not {quote(likely)}" if likely else ""
    return f"{column}: missing, and there is no --to{hint}"


def plain(name: str) -> str:
    """Return a column's name in lower case, without spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold()


_LANGUAGE = r"(?:lang|language|locale)s?(?:codes?|tags?)?"
LIKE_TARGETS = re.compile(rf"(?:to|target|dest|destination|output)?{_LANGUAGE}|to(?:codes?|tags?)?")
"""Plain names of columns that are probably meant to hold the target languages."""
LIKE_SOURCE = re.compile(rf"(?:from|source|src|original|input){_LANGUAGE}")
"""Plain names of columns that are probably meant to hold the source language."""
