"""The last step of a row: from a completed job to a file, with as many links as it takes.

Links expire, and the first link of a completed job may take some seconds to appear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import BadCaption, BadQuality, LinkExpired, RowError
from batchcap.domain.events import Waiting
from batchcap.domain.models import Caption, Job, Row
from batchcap.domain.protocols import Observer
from batchcap.engine.lane import Lane

MAX_BAD_DOWNLOADS = 2
"""How often something that is not WebVTT is downloaded before the row fails."""

LINK_BACKOFF = Backoff(attempts=6, first=1.0, longest=20.0)
"""How many links may be expired, and the waits before the next one."""


class CaptionDownload:
    """Downloads one caption. `refreshed` returns the job with a fresh link."""

    def __init__(
        self,
        lane: Lane,
        row: Row,
        observer: Observer,
        refreshed: Callable[[Job], Awaitable[Job]],
    ) -> None:
        self._lane, self._row, self._refreshed = lane, row, refreshed
        self._observer, self._examine = observer, lane.examiner(row)
        self._expired: list[str] = []
        self._bad_downloads = self._missing = 0
        self._missing_since: float | None = None

    async def run(self, job: Job) -> Caption:
        """Put the completed job's caption on disk, complete and durable.

        Raises:
            RowError: No link works or appears in time, or what it leads to is no WebVTT file
                or one whose quality is refused.
            Unavailable: All retries failed.
            FatalError: The disk refuses the file.
            Stopped: The run was stopped.
        """
        while True:
            link = await self._lane.provider.get_download_url(self._row, job, self._expired)
            srt = link is None and self._missing > 0 and job.srt_link not in {None, *self._expired}
            link = job.srt_link if srt else link
            if link is None:
                await self._wait_for_link()
            else:
                try:
                    return await self._lane.downloader.fetch(
                        link, self._row.path, self._examine, srt=srt
                    )
                except LinkExpired as error:
                    await self._replace_link(link, error)
                except BadQuality as error:
                    raise RowError("bad_quality", error.message) from None
                except BadCaption as error:
                    self._bad_downloads += 1
                    if self._bad_downloads >= MAX_BAD_DOWNLOADS:
                        raise RowError("bad_caption", error.message) from None
            job = await self._refreshed(job)

    async def _wait_for_link(self) -> None:
        self._missing_since = self._missing_since or _clock()
        if _clock() - self._missing_since >= self._lane.provider.link_timeout:
            if self._expired:
                raise RowError("link_dead", "all links have expired", retryable=True)
            raise RowError("captions_not_enabled", "the job completed without a caption")
        self._missing += 1
        reason = "the link of the completed job's caption"
        await self._wait(reason, LINK_BACKOFF.delay(self._missing))

    async def _replace_link(self, link: str, error: LinkExpired) -> None:
        """Wait before the next link, but not before the second: the first may just be old."""
        self._expired.append(link)
        count = len(self._expired)
        if count >= LINK_BACKOFF.attempts:
            message = f"{count} links in a row failed: {error.message}"
            raise RowError("link_dead", message, retryable=True)
        if count > 1:
            reason = f"another link, after {error.message}"
            await self._wait(reason, LINK_BACKOFF.delay(count - 1))

    async def _wait(self, reason: str, seconds: float) -> None:
        self._observer(Waiting(self._row.provider, reason, seconds, self._row))
        await self._lane.stop.sleep(seconds)


def _clock() -> float:
    return asyncio.get_running_loop().time()
