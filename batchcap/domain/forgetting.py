"""Taking rows of the ledger back: which ones, and what holds a row there."""

from __future__ import annotations

import enum

import msgspec


class Hold(enum.StrEnum):
    """Why a row cannot be removed from the ledger, from the strongest reason to none."""

    DONE = "done"
    """Its caption is or was on disk."""
    PAID = "paid"
    """A job of it completed or cost units, though there is no caption."""
    UNKNOWN = "unknown"
    """A create got no response, or the provider does not know its job any more."""
    RUNNING = "running"
    """Its job was running when it was last seen."""
    NONE = "none"
    """It was not paid for. Jobs that failed or were cancelled without units cost nothing."""


class ForgetScope(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a ledger that satisfy every condition that is given.

    `manifest` is the name by which a manifest was imported, `key` a glob in which case counts,
    `language` a tag in any spelling or a label, `state` one of results.jsonl. `unlisted` rows
    are those that their manifest does not list any more.
    """

    manifest: str | None = None
    key: str | None = None
    language: str | None = None
    state: str | None = None
    unlisted: bool = False


class RemovedTrack(msgspec.Struct, frozen=True):
    """What became of the text track that a job made.

    With a `reason` it was not deleted now; `is_gone` says that it is not on the asset any more.
    """

    track_id: str | None = None
    reason: str = ""
    is_gone: bool = False
