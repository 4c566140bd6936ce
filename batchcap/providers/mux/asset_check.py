"""What a run would find on the assets of rows, asked before the run by GETs alone.

A page of the account's list has up to 100 assets in full and costs as much as one asset. So
the list is read first, for as long as its pages have enough of the assets that are asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio

from batchcap.domain.errors import RowError, RowSkipped, Unavailable
from batchcap.domain.models import Job, JobRequest, Row
from batchcap.domain.protocols import OnChecked
from batchcap.providers.mux.asset_list import ListAssets
from batchcap.providers.mux.assets import Assets, parse_asset
from batchcap.providers.mux.refusals import check_request
from batchcap.providers.mux.robots_api import PAGE
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import as_object, as_text

MIN_ASSETS_PER_PAGE = 2.0
"""Assets of the rows that a page of the list must have on average."""

PAGES_JUDGED = 3
"""Recent pages that are judged: if they do not have enough, the list is not read on."""

_PARALLEL = 32
"""Assets that are checked at once."""


class AssetCheck:
    """Checks rows. `prepare` is the provider's, `list_assets` returns the page after a cursor."""

    def __init__(
        self,
        assets: Assets,
        list_assets: ListAssets,
        prepare: Callable[[Row], Awaitable[JobRequest | Job]],
        on_existing: str,
    ) -> None:
        self._assets, self._list_assets = assets, list_assets
        self._prepare, self._on_existing = prepare, on_existing

    async def check(self, rows: Sequence[Row], on_checked: OnChecked) -> None:
        """See `protocols.AccountCheck`."""
        waiting: dict[str, list[Row]] = {}
        for row in rows:
            waiting.setdefault(row.source_id, []).append(row)
        if len(waiting) >= PAGE:
            await self._check_listed(waiting, on_checked)
        ids = list(waiting)
        for start in range(0, len(ids), _PARALLEL):
            async with anyio.create_task_group() as group:
                for asset_id in ids[start : start + _PARALLEL]:
                    group.start_soon(self._check_asset, waiting[asset_id], on_checked)

    async def _check_listed(self, waiting: dict[str, list[Row]], on_checked: OnChecked) -> None:
        """Check the rows of listed assets, and remove them from those that wait."""
        cursor, recent = "", deque[int](maxlen=PAGES_JUDGED)
        while waiting:
            try:
                answer = await self._list_assets(cursor)
            except (RowError, Unavailable):  # single assets are enough
                return
            listed = [item for item in answer.items() if as_text(item.get("id")) in waiting]
            async with anyio.create_task_group() as group:
                for item in listed:
                    asset = parse_asset(as_text(item.get("id")), item)
                    self._assets.keep(asset)
                    group.start_soon(self._check_asset, waiting.pop(asset.id), on_checked)
            recent.append(len(listed))
            following = as_text(as_object(answer.json()).get("next_cursor"))
            is_sparse = sum(recent) < MIN_ASSETS_PER_PAGE * PAGES_JUDGED
            if following in {"", cursor} or (len(recent) == PAGES_JUDGED and is_sparse):
                return
            cursor = following

    async def _check_asset(self, rows: list[Row], on_checked: OnChecked) -> None:
        for row in rows:
            try:
                on_checked(row, await self._existing(row))
            except (RowError, RowSkipped, Unavailable) as error:
                on_checked(row, error)

    async def _existing(self, row: Row) -> Job | None:
        """Return the caption that a run would take, None if it would create a job.

        Raises what would end the row.
        """
        asset = await self._assets.get(row.source_id, priority=Priority.START)
        prepared = await self._prepare(row)
        if isinstance(prepared, Job):
            return prepared
        return check_request(prepared, asset, self._on_existing)
