"""Draws the outcome of a Mux job when it is created."""

from __future__ import annotations

import math

from batchcap.sandbox import random_draws
from batchcap.sandbox.faults import FaultInjector
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.mux.assets import find_asset
from batchcap.sandbox.mux.jobs import CreateRequest, JobOutcome
from batchcap.sandbox.options import SandboxOptions

_RETRYABLE_ERROR: dict[str, object] = {
    "type": "processing_error",
    "message": "The captions could not be translated at this time.",
    "retryable": True,
}
_FINAL_ERROR: dict[str, object] = {
    "type": "invalid_input",
    "message": "The captions cannot be translated.",
    "retryable": False,
}
_UNKNOWN_ERROR: dict[str, object] = {"type": "unknown_error", "message": "Something happened."}


def draw_outcome(
    request: CreateRequest, attempt: int, options: SandboxOptions, faults: FaultInjector
) -> JobOutcome:
    """Return the outcome of the n-th job (from 0) for the same caption."""
    key = request.caption_key
    present = keywords(request.asset_id)
    error = _error_by_keyword(present, attempt)
    if error is None and faults.hits("job_error", key, attempt):
        error = _RETRYABLE_ERROR
    is_cancelled = "cancelled" in present or faults.hits("job_cancelled", key, attempt)
    is_stuck = "stuck" in present or faults.hits("job_stuck", key, attempt)
    is_hidden = faults.hits("not_found_after_create", key, attempt)
    loses_link = faults.hits("missing_link", key, attempt)
    duration = _duration(options, key, attempt)
    unknown_status_seconds = options.odd_state_seconds if "oddstate" in present else 0.0
    return JobOutcome(
        starts_after=duration * options.job_pending_share,
        ends_after=None if is_stuck else max(duration, unknown_status_seconds),
        status="errored" if error else "cancelled" if is_cancelled else "completed",
        error=error,
        unknown_status_seconds=unknown_status_seconds,
        hidden_seconds=options.hidden_seconds if is_hidden else 0.0,
        has_link=_has_link(request, options) and not loses_link,
        has_track=request.upload and "nooutput" not in present,
        units=units_of(request),
    )


def _error_by_keyword(present: frozenset[str], attempt: int) -> dict[str, object] | None:
    if "fails" in present or ("failsonce" in present and attempt == 0):
        return _RETRYABLE_ERROR
    if "failsforever" in present:
        return _FINAL_ERROR
    return _UNKNOWN_ERROR if "failsodd" in present else None


def _has_link(request: CreateRequest, options: SandboxOptions) -> bool:
    if keywords(request.asset_id) & {"nolink", "nooutput"}:
        return False
    return request.upload or options.url_without_upload


def _duration(options: SandboxOptions, key: str, attempt: int) -> float:
    return random_draws.lognormal(
        options.job_seconds,
        options.job_sigma,
        options.job_seconds_max,
        *(options.seed, "length", key, attempt),
    )


def units_of(request: CreateRequest) -> int:
    """Return the units that a job consumes.

    The price list is not public. One unit a started minute makes bills differ by asset.
    """
    asset = find_asset(request.asset_id)
    return 1 if asset is None else max(1, math.ceil(asset.duration / 60))
