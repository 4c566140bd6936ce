"""Where a run stands, as one value: for the terminal, `status` and the live page."""

from __future__ import annotations

import msgspec

KEY = "snapshot"
"""The ledger's key for the last snapshot of a run, as JSON."""


class ProviderState(msgspec.Struct, frozen=True):
    """The rows of one provider. `total` counts all of the ledger, in whatever state.

    `waiting` rows wait for quota or were not started yet. `is_stopped`: these stay pending in this
    run. `ends_at` is when the last row will have ended (unix seconds), None if it is unknown.
    """

    name: str
    total: int
    waiting: int
    at_provider: int
    downloading: int
    done: int
    failed: int
    skipped: int
    invalid: int
    is_stopped: bool
    ends_at: float | None

    @property
    def ended(self) -> int:
        """Rows of the ledger that have ended, in any state."""
        return self.done + self.failed + self.skipped + self.invalid

    @property
    def left(self) -> int:
        """Rows that this run still works on."""
        return (0 if self.is_stopped else self.waiting) + self.at_provider + self.downloading


class BucketState(msgspec.Struct, frozen=True):
    """One quota: requests per second, allowed (None: no limit) and sent in the last minute.

    `paused_until` is when the present pause ends (unix seconds).
    """

    name: str
    rate: float | None
    sent: float
    paused_until: float | None


class SourcesState(msgspec.Struct, frozen=True):
    """The source captions that a run is to fetch, and what has become of them."""

    total: int
    fetched: int = 0
    failed: int = 0


class WaitState(msgspec.Struct, frozen=True):
    """How many wait at a place for the same reason, until `until` at most (unix seconds)."""

    where: str
    reason: str
    count: int
    until: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands at a time. All times are unix seconds.

    `sources` is None if no source captions are to be fetched. `units` were billed in this run.
    `problem` is the last one, at `problem_at`. `ends_at` is None while it is unknown.
    """

    at: float
    began: float
    providers: list[ProviderState]
    buckets: list[BucketState]
    sources: SourcesState | None = None
    waits: list[WaitState] = []
    bytes: int = 0
    units: int = 0
    errors: dict[str, int] = {}
    ends_at: float | None = None
    problem: str = ""
    problem_at: float | None = None


def decode(text: str | None) -> Snapshot | None:
    """Return the snapshot that a run stored; None if there is none of this version."""
    try:
        return msgspec.json.decode(text or "", type=Snapshot)
    except msgspec.MsgspecError:
        return None
