"""Creates of HeyGen translations: prices, concurrency, batches and Idempotency-Key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sandbox.client import Response, SandboxClient, sandbox_client

pytestmark = pytest.mark.anyio

V3 = "/v3/video-translations"
SPANISH = "Spanish (Spain)"


def body(*languages: str, source: str = "https://example.com/film.mp4", **fields: Any) -> Any:
    video = {"type": "url", "url": source}
    return {"video": video, "output_languages": list(languages or [SPANISH]), **fields}


async def create(client: SandboxClient, *languages: str, key: str = "", **fields: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.heygen(V3, "POST", body(*languages, **fields), **headers)


async def detail(client: SandboxClient, video_id: str) -> Any:
    return (await client.heygen(f"{V3}/{video_id}")).data


async def test_create_makes_one_translation_a_language_with_its_price() -> None:
    async with sandbox_client(strict_ids=True) as client:
        created = await create(client, SPANISH, "Japanese", enable_caption=True, callback_id="c")
        ids = created.data["video_translation_ids"]
        first = await detail(client, ids[0])
        assert (first["status"], first["output_language"]) == ("running", SPANISH)
        assert (first["callback_id"], first["vtt_caption_url"]) == ("c", None)
        await asyncio.sleep(10)
        ended = [await detail(client, video_id) for video_id in ids]
        assert {video["status"] for video in ended} == {"completed"}
        assert (await client.fetch(ended[1]["vtt_caption_url"])).status == 200
        log = (await client.control("/request-log")).json
        listed = (await client.heygen(f"{V3}?limit=1")).data
    assert listed[0]["id"] == ids[1]
    assert [item["id"] for item in log["translations"]] == ids
    assert log["dollars"] == pytest.approx(2 * 0.05 * first["duration"], abs=0.001)


async def test_translation_without_enable_caption_never_has_a_link() -> None:
    async with sandbox_client() as client:
        (video_id,) = (await create(client)).data["video_translation_ids"]
        await asyncio.sleep(600)
        video = await detail(client, video_id)
    assert video["status"] == "completed"
    assert video["vtt_caption_url"] is video["srt_caption_url"] is None


async def test_keyword_in_the_source_decides_about_its_translations() -> None:
    async with sandbox_client() as client:
        (failed,) = (await create(client, source="id-failed")).data["video_translation_ids"]
        missing = await create(client, source="id-missing")
        await asyncio.sleep(10)
        assert (await detail(client, failed))["status"] == "failed"
    assert (missing.status, missing.json["error"]["code"]) == (400, "download_failed")


INVALID: list[Any] = [
    b"{",
    {},
    {"video": {"type": "url", "url": "u"}, "output_languages": []},
    {"video": {"type": "file"}, "output_languages": [SPANISH]},
    {"video": {"type": "url", "url": "u"}, "output_languages": ["es"]},
    {"video": {"type": "url", "url": "u"}, "output_languages": [SPANISH], "mode": "slow"},
]


@pytest.mark.parametrize("content", INVALID, ids=range(len(INVALID)))
async def test_create_with_invalid_body_gets_400_and_makes_nothing(content: Any) -> None:
    async with sandbox_client() as client:
        for path, sent in ((V3, content), (f"{V3}/batches", {"video_translations": [content]})):
            if isinstance(content, bytes):
                sent = content
            response = await client.heygen(path, "POST", sent)
            assert (response.status, response.json["error"]["code"]) == (400, "invalid_parameter")
        assert (await client.control("/request-log")).json["translations"] == []


async def test_create_with_the_same_idempotency_key_is_replayed_for_24_hours() -> None:
    async with sandbox_client() as client:
        first = await create(client, key="k:1")
        again = await create(client, "Japanese", key="k:1")
        other = await create(client, key="k:2")
        client.sandbox.advance(86_400)
        late = await create(client, key="k:1")
        invalid = await create(client, key="no spaces")
    assert first.json == again.json
    ids = [response.data["video_translation_ids"][0] for response in (first, other, late)]
    assert len(set(ids)) == 3
    assert invalid.status == 400


async def test_create_whose_response_was_lost_is_found_by_its_idempotency_key() -> None:
    async with sandbox_client(faults={"lost_create": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientError):
            await create(client, key="k")
        repeated = await create(client, key="k")
        log = (await client.control("/request-log")).json
    assert [item["id"] for item in log["translations"]] == repeated.data["video_translation_ids"]


async def test_create_whose_key_is_in_progress_gets_409() -> None:
    async with sandbox_client(heygen_write_seconds=30.0) as client:
        first = asyncio.ensure_future(create(client, key="k"))
        await asyncio.sleep(10)
        early = await create(client, key="k")
        await first
        after = await create(client, key="k")
    assert (early.status, early.json["error"]["code"]) == (409, "request_in_progress")
    assert after.json == first.result().json


async def test_create_beyond_the_concurrency_gets_429_until_one_has_ended() -> None:
    async with sandbox_client(heygen_concurrency=2) as client:
        assert (await create(client, SPANISH, "Japanese")).status == 200
        refused = await create(client)
        await asyncio.sleep(int(refused.headers["Retry-After"]))
        assert (await create(client)).status == 200
    assert (refused.status, refused.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "X-RateLimit-Limit" not in refused.headers


async def test_batch_items_wait_for_a_slot_and_all_end() -> None:
    async with sandbox_client(heygen_concurrency=2, heygen_finish_seconds=60.0) as client:
        creates = [body(SPANISH, "Japanese"), body("French"), body("German", source="id-failed")]
        batch = await client.heygen(f"{V3}/batches", "POST", {"video_translations": creates})
        assert batch.status == 202
        batch_id = batch.data["batch_id"]
        path = f"{V3}/batches/{batch_id}"
        early = (await client.heygen(path)).data
        await asyncio.sleep(200)
        ended = (await client.heygen(path)).data
        page = (await client.heygen(f"{path}?limit=3")).data
        statuses = (await client.heygen(f"{V3}/statuses?batch_ids={batch_id}")).data
    assert (early["status"], early["total_items"]) == ("processing", 4)
    assert early["counts_by_status"] == {"processing": 2, "queued": 2}
    assert ended["counts_by_status"] == {"completed": 3, "failed": 1}
    assert [item["item_index"] for item in ended["items"]] == [0, 1, 2, 3]
    assert (len(page["items"]), page["has_more"], page["next_token"]) == (3, True, "3")
    assert {row["batch_id"] for row in statuses} == {batch_id}
    assert sorted(row["item_index"] for row in statuses) == [0, 1, 2, 3]


@pytest.mark.parametrize(("count", "status"), [(50, 202), (51, 400)])
async def test_batch_has_at_most_100_translations(count: int, status: int) -> None:
    creates = [body(SPANISH, "Japanese")] * count
    async with sandbox_client() as client:
        batch = await client.heygen(f"{V3}/batches", "POST", {"video_translations": creates})
        unknown = await client.heygen(f"{V3}/batches/none")
    assert (batch.status, unknown.status) == (status, 404)


async def test_creates_are_counted_in_the_request_log_and_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    async with sandbox_client(state) as client:
        created = await create(client, source="id-stuck", key="k")
        assert client.sandbox.request_log.count("heygen.create", method="POST") == 1
    async with sandbox_client(state) as client:
        assert (await create(client, key="k")).json == created.json
        (video_id,) = created.data["video_translation_ids"]
        assert (await detail(client, video_id))["status"] == "running"


async def test_other_posts_are_refused() -> None:
    async with sandbox_client() as client:
        assert (await client.heygen(f"{V3}/one", "POST")).status == 405
        assert (await client.heygen(f"{V3}/batches")).status == 405
        assert (await client.heygen("/v2/video_translate", "POST")).status == 405
