"""What a provider's account holds, as far as a manifest can list it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from batchcap.domain.models import Json


class AccountItem(msgspec.Struct, frozen=True, kw_only=True):
    """One asset or translation of an account. `created_at` is in unix seconds, if it is known.

    `cells` are its columns in a manifest beside id and target languages. `targets` are the
    languages to ask for; a provider without target languages has none.
    """

    source_id: str
    title: str = ""
    passthrough: str = ""
    created_at: int | None = None
    cells: Json = {}
    targets: tuple[str, ...] = ()


class AccountQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to list of an account.

    `targets` are the languages to translate to, from `source_language` if it is given. `title`
    and `passthrough` are globs, in which case counts; `created_after` is the first second that
    matches, `created_before` the first one that does not (unix seconds).
    """

    targets: tuple[str, ...] = ()
    source_language: str | None = None
    title: str = ""
    passthrough: str = ""
    created_after: float | None = None
    created_before: float | None = None

    def matches(self, item: AccountItem) -> bool:
        """Return whether the filters let an item through. Without a date, no date matches."""
        return (
            (not self.title or fnmatchcase(item.title, self.title))
            and (not self.passthrough or fnmatchcase(item.passthrough, self.passthrough))
            and self._is_in_time(item.created_at)
        )

    def _is_in_time(self, created_at: int | None) -> bool:
        if self.created_after is None and self.created_before is None:
            return True
        return (
            created_at is not None
            and (self.created_after is None or created_at >= self.created_after)
            and (self.created_before is None or created_at < self.created_before)
        )


class AccountPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of an account's list.

    `count` is the number of items on the page, `items` are those that match and have something
    to ask for. `left_out` counts the rest of those that match by reason, as plural nouns.
    `cursor` leads to the next page, "" after the last one.
    """

    count: int
    items: list[AccountItem]
    left_out: Mapping[str, int] = {}
    cursor: str = ""


def creation_date(created_at: int | None) -> str:
    """Return unix seconds as RFC 3339 in UTC, "" if they are unknown or no date."""
    try:
        date = datetime.fromtimestamp(created_at, UTC) if created_at else None
    except (ValueError, OverflowError, OSError):
        date = None
    return f"{date:%Y-%m-%dT%H:%M:%SZ}" if date else ""


def in_one_line(text: str) -> str:
    """Return text of an account without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
