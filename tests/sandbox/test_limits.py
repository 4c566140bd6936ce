"""Rate limits, on virtual time."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import pytest

from batchcap.sandbox import SandboxOptions
from batchcap.sandbox.rate_limits import TokenBucket
from tests.sandbox.client import asking

pytestmark = pytest.mark.anyio


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, burst=3)
    assert [bucket.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(10.5) == 0.0
    assert bucket.take(10.5) == 0.5
    assert bucket.take(100.0) == 0.0
    assert bucket.remaining == 2


async def test_mux_has_a_bucket_for_posts_and_one_for_the_rest() -> None:
    async with asking(mux_write_rate=1.0, mux_read_rate=5.0, burst=2) as client:
        posts = [await client.create(f"a-{number}") for number in range(4)]
        reads = [await client.job("none") for _ in range(2)]
        over = await client.mux("/video/v1/assets/one")
        await asyncio.sleep(1)
        assert (await client.create("a-9")).status == 202
        journal = client.sandbox.request_log
    assert [reply.status for reply in posts] == [202, 202, 429, 429]
    assert [reply.status for reply in reads] == [404, 404]
    assert over.status == 429
    assert over.json["error"]["messages"]
    assert posts[2].json["error"]["message"]
    assert posts[0].headers["X-RateLimit-Limit"] == "1"
    assert posts[0].headers["X-RateLimit-Remaining"] == "1"
    assert journal.throttled == 3
    assert len(journal.creates) == 3
    assert journal.worst_second("mux.write") == 4


@pytest.mark.parametrize("how", ["seconds", "date", "absent"])
async def test_mux_says_by_option_when_to_come_back(how: str) -> None:
    options = {"mux_read_rate": 0.1, "burst": 1, "retry_after": how}
    async with asking(**options) as client:
        await client.job("none")
        headers = (await client.job("none")).headers
    if how == "seconds":
        assert headers["Retry-After"] == "10"
    elif how == "date":
        later, date = headers["Retry-After"], headers["Date"]
        wait = parsedate_to_datetime(later) - parsedate_to_datetime(date)
        assert 9 <= wait.total_seconds() <= 11
    else:
        assert "Retry-After" not in headers


async def test_heygen_says_seconds_and_nothing_of_its_rate() -> None:
    async with asking(heygen_rate=1.0, burst=1, retry_after="absent") as client:
        await client.heygen("/v3/video-translations/one")
        reply = await client.heygen("/v3/video-translations/one")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert reply.json["error"]["code"] == "rate_limit_exceeded"
    assert not [name for name in reply.headers if "ratelimit" in name.lower()]


async def test_limits_are_lifted_by_default_and_documented_by_name() -> None:
    async with asking() as client:
        replies = [await client.job("none") for _ in range(50)]
        assert client.sandbox.request_log.worst_second("mux.read") == 50
    assert {reply.status for reply in replies} == {404}
    documented = SandboxOptions.documented(seed=7)
    assert (documented.mux_write_rate, documented.mux_read_rate, documented.seed) == (1.0, 5.0, 7)


async def test_file_hosts_have_no_limit() -> None:
    async with asking(mux_write_rate=1.0, mux_read_rate=1.0, heygen_rate=1.0, burst=1) as client:
        statuses = {(await client.stream("/public_one/text/none.vtt")).status for _ in range(20)}
    assert statuses == {404}
