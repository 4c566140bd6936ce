"""Pages of an account's assets, with what a run would do with each.

`GET /video/v1/assets` lists up to 100 assets in full, tracks included, and leads to the next
page by `next_cursor`, which is null at the end (Mux's API reference, SDK @mux/mux-node 15.3).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from batchcap.domain.account import (
    AccountItem,
    AccountPage,
    AccountQuery,
    creation_date,
    in_one_line,
)
from batchcap.domain.errors import RowError
from batchcap.domain.models import Json
from batchcap.providers.mux.assets import Asset, parse_asset
from batchcap.providers.mux.refusals import has_caption
from batchcap.providers.mux.schema import MAX_PASSTHROUGH, is_valid_id, passthrough
from batchcap.providers.mux.source_tracks import SourceTracks
from batchcap.transport.response import ApiResponse, as_count, as_object, as_positive_float, as_text

ASSET_COLUMNS = (
    *("asset_id", "track_id", "from_language", "to_language_code"),
    *("title", "duration", "created", "passthrough"),
)

ListAssets = Callable[[str], Awaitable[ApiResponse]]


class AssetList:
    """Reads the list of assets. `list_assets` returns the page that follows a cursor."""

    def __init__(self, list_assets: ListAssets, source_tracks: SourceTracks) -> None:
        self._list_assets, self._source_tracks = list_assets, source_tracks

    async def page(self, cursor: str, query: AccountQuery) -> AccountPage:
        """Return the assets of a page for which a run could create captions.

        The source track is chosen as a run would choose it. Languages that a run would find on
        the asset already, and those that Mux would refuse because of a track in the way, are
        left out.
        """
        answer = await self._list_assets(cursor)
        listed = answer.items()
        described = [(_describe(data), data) for data in listed]
        matching = [(item, data) for item, data in described if item and query.matches(item)]
        left_out: Counter[str] = Counter()
        items = await asyncio.gather(
            *(self._with_targets(item, data, query, left_out) for item, data in matching)
        )
        return AccountPage(
            count=len(listed),
            items=[item for item in items if item is not None],
            left_out=left_out,
            cursor=as_text(as_object(answer.json()).get("next_cursor")),
        )

    async def _with_targets(
        self, item: AccountItem, data: Json, query: AccountQuery, left_out: Counter[str]
    ) -> AccountItem | None:
        """Return the item with its source track and the languages to ask for, None if none."""
        asset = parse_asset(item.source_id, data)
        if not asset.has_usable_playback_id:
            left_out["assets without a public or signed playback id"] += 1
            return None
        targets = _missing(asset, query.targets, left_out)
        if not targets:
            return None
        try:
            source = await self._source_tracks.find(asset, query.source_language)
        except RowError:
            left_out[_no_source(query.source_language)] += 1
            return None
        cells = {**item.cells, "track_id": source.id, "from_language": source.language}
        return replace(item, cells=cells, targets=targets)


def _missing(asset: Asset, targets: tuple[str, ...], left_out: Counter[str]) -> tuple[str, ...]:
    """Return the languages for which a run would create a job that Mux accepts."""
    missing = []
    for tag in targets:
        if has_caption(asset, tag):
            left_out["captions that exist"] += 1
        elif asset.tracks_in_the_way(tag, None):
            left_out["captions for which a track is in the way"] += 1
        else:
            missing.append(tag)
    return tuple(missing)


def _no_source(tag: str | None) -> str:
    if tag is None:
        return "assets without a single text track to translate from"
    return f"assets without a ready text track in {tag}"


def _describe(data: Json) -> AccountItem | None:
    """Return what the list says about an asset, None if it has no valid id."""
    asset_id = as_text(data.get("id"))
    if not is_valid_id(asset_id):
        return None
    created_at, duration = as_count(data.get("created_at")), as_positive_float(data.get("duration"))
    try:
        created_at = created_at or int(as_text(data.get("created_at")))  # Mux: text of a number
    except ValueError:
        created_at = 0
    own = as_text(data.get("passthrough"))
    title = in_one_line(as_text(as_object(data.get("meta")).get("title")))
    return AccountItem(
        source_id=asset_id,
        title=title,
        passthrough=own,
        created_at=created_at or None,
        cells={
            "title": title,
            "duration": f"{duration:.3f}" if duration else "",
            "created": creation_date(created_at),
            "passthrough": own if _fits_into_a_job(own) else "",
        },
    )


def _fits_into_a_job(own: str) -> bool:
    """Return whether an asset's passthrough can be that of a job, beside batchcap's mark."""
    return len(passthrough("0" * 20, own)) < MAX_PASSTHROUGH
