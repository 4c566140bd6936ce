"""What Mux checks before it accepts a create."""

from __future__ import annotations

from collections.abc import Mapping

from batchcap.sandbox.id_keywords import is_valid_id, keywords
from batchcap.sandbox.mux.assets import Asset, find_account_asset
from batchcap.sandbox.mux.errors import CREATE_REFUSALS, CreateRefusedError
from batchcap.sandbox.mux.job_outcomes import units_of
from batchcap.sandbox.mux.jobs import ACTIVE, TERMINAL, CreateRequest
from batchcap.sandbox.mux.track_rules import can_be_replaced, conflicts
from batchcap.sandbox.world import World

_REFUSED_DUPLICATES: Mapping[str, tuple[str, ...]] = {
    "refuse_active": ACTIVE,
    "refuse_any": (*ACTIVE, "completed"),
    "allow": (),
}
"""The statuses of an earlier job that make an equal create a duplicate, by option."""


def check_create(world: World, create: CreateRequest, now: float) -> None:
    """Check the account, the asset, earlier jobs and the tracks, in this order.

    Raises:
        CreateRefusedError: Mux refuses the create.
    """
    _check_account(world, create, now)
    asset = _require_asset(world, create)
    _check_duplicate(world, create, now)
    _check_tracks(world, create, asset, now)


def _check_account(world: World, create: CreateRequest, now: float) -> None:
    options = world.options
    if options.create_limit is not None and len(world.jobs) >= options.create_limit:
        raise CreateRefusedError(*CREATE_REFUSALS[options.create_refusal])
    if options.units_limit is not None:
        failed = ("errored", "cancelled")
        used = sum(job.outcome.units for job in world.jobs if job.status(now) not in failed)
        if used + units_of(create) > options.units_limit:
            raise CreateRefusedError(*CREATE_REFUSALS["units"])


def _require_asset(world: World, create: CreateRequest) -> Asset:
    asset = find_account_asset(world.options, create.asset_id)
    if asset is None:
        raise _unprocessable("The asset does not exist.")
    if not any(policy in ("public", "signed") for _, policy in asset.playback_ids):
        raise _unprocessable("The asset has no public or signed playback id.")
    return asset


def _check_duplicate(world: World, create: CreateRequest, now: float) -> None:
    rule = world.options.duplicates
    if rule == "allow":
        return
    for job in world.jobs.equal(create):
        status = job.status(now)
        if now < job.created + world.options.duplicate_lag_seconds:
            continue
        # A job with an undocumented status is running.
        if status in _REFUSED_DUPLICATES[rule] or status not in (*ACTIVE, *TERMINAL):
            raise CreateRefusedError(409, "conflict", "An equal job is in progress.")


def _check_tracks(world: World, create: CreateRequest, asset: Asset, now: float) -> None:
    tracks = world.jobs.tracks(asset, now)
    source = next((track for track in tracks if track.id == create.track_id), None)
    if source is None and not _accepts_track_id(world, create.track_id):
        raise _unprocessable("The track does not exist or is not ready.")
    if source is not None and source.status != "ready":
        raise _unprocessable("The track is not ready.")
    for track in tracks if create.upload else ():
        conflicting = conflicts(track, create.language, create.track_name)
        if conflicting and not can_be_replaced(track, create.replace):
            raise _unprocessable(f"A track in {track.language} exists already.")


def _accepts_track_id(world: World, track_id: str) -> bool:
    # Any other id counts as a track of the asset: it comes from a user's own manifest.
    bad = keywords(track_id) & {"missing", "preparing"}
    return is_valid_id(track_id) and not bad and not world.options.strict_ids


def _unprocessable(message: str) -> CreateRefusedError:
    return CreateRefusedError(422, "unprocessable_entity", message)
