"""Rate limits, on virtual time."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from batchcap.sandbox import SandboxOptions
from batchcap.sandbox.rate_limits import TokenBucket
from tests.sandbox.client import sandbox_client

pytestmark = pytest.mark.anyio


def test_token_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, burst=3)
    assert [bucket.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(10.5) == 0.0
    assert bucket.take(10.5) == 0.5
    assert bucket.take(100.0) == 0.0
    assert bucket.remaining == 2


async def test_mux_has_a_bucket_for_posts_and_one_for_all_other_methods() -> None:
    async with sandbox_client(mux_write_rate=1.0, mux_read_rate=5.0, burst=2) as client:
        posts = [await client.create(f"a-{number}") for number in range(4)]
        reads = [await client.get_job("none") for _ in range(2)]
        excess = await client.mux("/video/v1/assets/one")
        await asyncio.sleep(1)
        assert (await client.create("a-9")).status == 202
        request_log = client.sandbox.request_log
    assert [response.status for response in posts] == [202, 202, 429, 429]
    assert [response.status for response in reads] == [404, 404]
    assert excess.status == 429
    assert excess.json["errors"]
    assert posts[2].json["errors"]
    assert posts[0].headers["X-RateLimit-Limit"] == "1"
    assert posts[0].headers["X-RateLimit-Remaining"] == "1"
    assert request_log.throttled == 3
    assert len(request_log.creates) == 3
    assert request_log.worst_second("mux.write") == 4


async def test_mux_token_of_high_priority_has_buckets_of_its_own() -> None:
    async with sandbox_client(mux_write_rate=1.0, mux_read_rate=5.0, burst=1) as client:
        options = client.sandbox.options
        assert [(await client.get_job("none")).status for _ in range(2)] == [404, 429]
        client.environment["MUX_TOKEN_ID"] = options.mux_high_token_id
        client.environment["MUX_TOKEN_SECRET"] = options.mux_high_token_secret
        assert [(await client.get_job("none")).status for _ in range(2)] == [404, 429]
        assert [(await client.create(name)).status for name in "ab"] == [202, 429]
        client.environment["MUX_TOKEN_SECRET"] = options.mux_token_secret
        assert (await client.get_job("none")).status == 401
        assert client.sandbox.request_log.worst_second("mux.read.high") == 2


@pytest.mark.parametrize("header_format", ["seconds", "date", "absent"])
async def test_retry_after_option_changes_the_header_of_mux(header_format: str) -> None:
    options: dict[str, Any] = {
        "mux_read_rate": 0.1,
        "burst": 1,
        "retry_after": header_format,
    }
    async with sandbox_client(**options) as client:
        await client.get_job("none")
        headers = (await client.get_job("none")).headers
    if header_format == "seconds":
        assert headers["Retry-After"] == "10"
    elif header_format == "date":
        retry_at, date = headers["Retry-After"], headers["Date"]
        wait = parsedate_to_datetime(retry_at) - parsedate_to_datetime(date)
        assert 9 <= wait.total_seconds() <= 11
    else:
        assert "Retry-After" not in headers


async def test_heygen_sends_retry_after_in_seconds_and_no_rate_limit_headers() -> None:
    async with sandbox_client(heygen_rate=1.0, burst=1, retry_after="absent") as client:
        await client.heygen("/v3/video-translations/one")
        response = await client.heygen("/v3/video-translations/one")
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    assert response.json["error"]["code"] == "rate_limit_exceeded"
    assert not [name for name in response.headers if "ratelimit" in name.lower()]


async def test_default_has_no_limits_and_documented_has_them() -> None:
    async with sandbox_client() as client:
        responses = [await client.get_job("none") for _ in range(50)]
        assert client.sandbox.request_log.worst_second("mux.read") == 50
    assert {response.status for response in responses} == {404}
    documented = SandboxOptions.documented(seed=7)
    assert (documented.mux_write_rate, documented.mux_read_rate, documented.seed) == (1.0, 5.0, 7)


async def test_file_hosts_have_no_limit() -> None:
    options: dict[str, Any] = {"mux_write_rate": 1.0, "mux_read_rate": 1.0, "heygen_rate": 1.0}
    async with sandbox_client(burst=1, **options) as client:
        statuses = {(await client.stream("/public_one/text/none.vtt")).status for _ in range(20)}
    assert statuses == {404}
