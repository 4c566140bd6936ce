"""What to do about each error code, and whether another try can help."""

from __future__ import annotations

import enum

import msgspec


class Retry(enum.StrEnum):
    """Whether `resume --retry-failed` can help."""

    YES = "yes"
    NO = "no"
    AFTER_CHANGE = "after a change"


class Advice(msgspec.Struct, frozen=True):
    """What to do about an error code. `command` is what to type for its rows, or ""."""

    text: str
    retry: Retry
    command: str = ""


_AGAIN = "batchcap resume --retry-failed --only {}"
_PASSING = "batchcap resume --retry-failed --retryable --only {}"
"""Leaves the rows out whose failure is permanent: a new job would be paid for in vain."""
_MANIFEST = "Then run the manifest again: a corrected row without a job starts anew."
_NEW_JOB = "A retry creates a new job, which costs again."
_ADVICE = {
    "asset_not_found": Advice(
        "Check the asset id, and that the key belongs to the asset's environment.",
        Retry.AFTER_CHANGE,
        _AGAIN,
    ),
    "not_found": Advice(
        "Check the id, and that the key belongs to the account that has it. If the message names "
        "a job that the provider has lost, a retry creates another one.",
        Retry.AFTER_CHANGE,
        _AGAIN,
    ),
    "track_not_found": Advice(
        "Name the source in track_id or from_language; the message lists the asset's tracks. "
        + _MANIFEST,
        Retry.AFTER_CHANGE,
    ),
    "track_not_ready": Advice("Try again when the source track is ready.", Retry.YES, _AGAIN),
    "language_exists": Advice(
        "Use --on-existing download, or do not upload; the message names the tracks in the way. "
        + _MANIFEST,
        Retry.AFTER_CHANGE,
    ),
    "rejected": Advice(
        f"The provider refused these rows; the message says why. {_MANIFEST}", Retry.AFTER_CHANGE
    ),
    "job_failed": Advice(_NEW_JOB, Retry.YES, _PASSING),
    "job_cancelled": Advice(_NEW_JOB, Retry.YES, _AGAIN),
    "job_timeout": Advice(
        "A retry looks at the same job again; a longer --job-timeout gives it more time.",
        Retry.YES,
        _AGAIN,
    ),
    "captions_not_enabled": Advice(
        "The job has no caption. Translate the video again with captions, and list the new id.",
        Retry.NO,
    ),
    "bad_caption": Advice(
        "A retry downloads the file again, without a new job. If it stays bad, ask the provider; "
        "the message says where the file is kept.",
        Retry.YES,
        _AGAIN,
    ),
    "bad_quality": Advice(
        "Look at the findings; without --strict-captions, a retry accepts the file.",
        Retry.AFTER_CHANGE,
        _AGAIN,
    ),
    "link_dead": Advice("A retry asks for a new link.", Retry.YES, _PASSING),
    "cannot_store": Advice(
        "Free the name, or move the output folder to another disk; a retry creates no job.",
        Retry.AFTER_CHANGE,
        _AGAIN,
    ),
    "unavailable": Advice("Try again when the provider responds.", Retry.YES, _AGAIN),
    "units_exhausted": Advice(
        "Raise the limit or the credit that the message names; the rows are still pending.",
        Retry.AFTER_CHANGE,
        "batchcap resume",
    ),
    "outcome_unknown": Advice(
        "A retry looks for the job again, and creates another one only if the first certainly "
        "did not arrive.",
        Retry.YES,
        _AGAIN,
    ),
    "invalid": Advice("Correct the manifest, and run it again.", Retry.AFTER_CHANGE),
}
_PERMANENT = {
    "job_failed": Advice(
        "The provider says that it fails again. A new job would cost again; see the message.",
        Retry.NO,
    ),
    "link_dead": Advice(
        "The message says why no link can work; correct that first.", Retry.AFTER_CHANGE, _AGAIN
    ),
}
"""For errors that are not retryable."""
_OTHER = Advice("See the message.", Retry.AFTER_CHANGE, _AGAIN)

CODES = frozenset(_ADVICE)
"""The error codes of batchcap, and `invalid`."""


def advice_for(code: str, *, retryable: bool = True) -> Advice:
    """Return what to do about rows with an error code.

    `retryable`: the error of one of them is. In `command`, the folder of the run is missing.
    """
    advice = _ADVICE.get(code, _OTHER)
    if not retryable:
        advice = _PERMANENT.get(code, advice)
    return msgspec.structs.replace(advice, command=advice.command.format(code))
