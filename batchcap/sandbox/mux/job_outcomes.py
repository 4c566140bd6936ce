"""What becomes of a Mux job, drawn once, when it is created."""

from __future__ import annotations

import math

from batchcap.sandbox import random_draws
from batchcap.sandbox.faults import Faults
from batchcap.sandbox.id_keywords import words
from batchcap.sandbox.mux.assets import asset
from batchcap.sandbox.mux.jobs import CreateRequest, JobOutcome
from batchcap.sandbox.options import SandboxOptions

_TRANSIENT: dict[str, object] = {
    "type": "processing_error",
    "message": "The captions could not be translated at this time.",
    "retryable": True,
}
_FINAL: dict[str, object] = {
    "type": "invalid_input",
    "message": "The captions cannot be translated.",
    "retryable": False,
}
_ODD: dict[str, object] = {"type": "gremlins", "message": "Something happened."}


def draw(order: CreateRequest, attempt: int, options: SandboxOptions, faults: Faults) -> JobOutcome:
    """The fate of the n-th job, from 0, for the same caption."""
    key = order.key
    error = _error(order, attempt) or (
        _TRANSIENT if faults.fate("job_error", key, attempt) else None
    )
    known = words(order.asset_id)
    cancelled = "cancelled" in known or faults.fate("job_cancelled", key, attempt)
    stuck = "stuck" in known or faults.fate("job_stuck", key, attempt)
    length = _length(options, key, attempt)
    odd = options.odd_state_seconds if "oddstate" in known else 0.0
    hidden = faults.fate("not_found_after_create", key, attempt)
    return JobOutcome(
        starts_after=length * options.job_pending_share,
        ends_after=None if stuck else max(length, odd),
        status="errored" if error else "cancelled" if cancelled else "completed",
        error=error,
        unknown_status_seconds=odd,
        hidden_seconds=options.hidden_seconds if hidden else 0.0,
        has_link=_has_link(order, options) and not faults.fate("missing_link", key, attempt),
        has_track=order.upload and "nooutput" not in known,
        units=_units(order),
    )


def _error(order: CreateRequest, attempt: int) -> dict[str, object] | None:
    known = words(order.asset_id)
    if "fails" in known or ("failsonce" in known and attempt == 0):
        return _TRANSIENT
    if "failsforever" in known:
        return _FINAL
    return _ODD if "failsodd" in known else None


def _has_link(order: CreateRequest, options: SandboxOptions) -> bool:
    if words(order.asset_id) & {"nolink", "nooutput"}:
        return False
    return order.upload or options.url_without_upload


def _length(options: SandboxOptions, key: str, attempt: int) -> float:
    return random_draws.lognormal(
        options.job_seconds,
        options.job_sigma,
        options.job_seconds_max,
        *(options.seed, "length", key, attempt),
    )


def _units(order: CreateRequest) -> int:
    # The price list is not public; a unit a started minute makes bills that differ.
    known = asset(order.asset_id)
    return 1 if known is None else max(1, math.ceil(known.duration / 60))
