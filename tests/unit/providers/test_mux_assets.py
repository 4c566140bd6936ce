"""Text tracks of assets, which of them are in the way of a new one, and shared requests."""

from __future__ import annotations

import asyncio
import gc

import pytest

from batchcap.domain.errors import CreatesRefused
from batchcap.providers.mux.assets import Assets, parse_asset
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse


def test_track_without_a_name_blocks_only_its_language() -> None:
    track = {"id": "t", "type": "text", "language_code": "en", "name": "", "status": "ready"}
    asset = parse_asset("a", {"tracks": [track]})
    assert asset.tracks_in_the_way("es", None) == []
    assert asset.tracks_in_the_way("es", "") == []
    assert [track.id for track in asset.tracks_in_the_way("en-GB", None)] == ["t"]


@pytest.mark.anyio
async def test_refused_request_that_nobody_waits_for_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answered = asyncio.Event()

    async def read(asset_id: str, priority: Priority) -> ApiResponse:
        await answered.wait()
        raise CreatesRefused("refused")

    assets = Assets(read)
    caller = asyncio.ensure_future(assets.get("film"))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    answered.set()
    await asyncio.sleep(0.01)
    del assets, caller
    gc.collect()
    assert caplog.records == []
