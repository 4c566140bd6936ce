"""Text tracks of assets, and which of them are in the way of a new one."""

from __future__ import annotations

from batchcap.providers.mux.assets import parse_asset


def test_track_without_a_name_blocks_only_its_language() -> None:
    track = {"id": "t", "type": "text", "language_code": "en", "name": "", "status": "ready"}
    asset = parse_asset("a", {"tracks": [track]})
    assert asset.tracks_in_the_way("es", None) == []
    assert asset.tracks_in_the_way("es", "") == []
    assert [track.id for track in asset.tracks_in_the_way("en-GB", None)] == ["t"]
