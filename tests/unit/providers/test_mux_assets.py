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


@pytest.mark.anyio
async def test_assets_read_when_nothing_else_waits_holds_up_no_other_caller() -> None:
    spare_may_go, reads = asyncio.Event(), list[Priority]()

    async def read(asset_id: str, priority: Priority) -> ApiResponse:
        reads.append(priority)
        if priority is Priority.SPARE:
            await spare_may_go.wait()
        return ApiResponse(200, {}, b'{"data": {}}')

    assets = Assets(read)
    spare = asyncio.ensure_future(assets.get_spare("film"))
    await asyncio.sleep(0)
    assert await assets.get("film", priority=Priority.START) == parse_asset("film", {})
    assert not spare.done()
    spare_may_go.set()
    await spare
    await assets.get_spare("film")
    assert reads == [Priority.SPARE, Priority.START]
