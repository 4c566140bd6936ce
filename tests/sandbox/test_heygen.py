"""HeyGen's v3 and v2 routes, as its documents describe them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchcap.sandbox import heygen_ids
from tests.sandbox.client import Response, SandboxClient, sandbox_client

pytestmark = pytest.mark.anyio

V3 = "/v3/video-translations"
V2 = "/v2/video_translate"


async def get_detail(client: SandboxClient, video_id: str) -> Response:
    return await client.heygen(f"{V3}/{video_id}")


async def get_statuses(client: SandboxClient, *ids: str) -> dict[str, str]:
    response = await client.heygen(f"{V3}/statuses?video_translation_ids={','.join(ids)}")
    return {row["video_id"]: row["status"] for row in response.data}


async def get_caption(client: SandboxClient, video_id: str) -> Response:
    return await client.heygen(f"{V2}/caption?video_translate_id={video_id}&caption_type=vtt")


async def get_v2_status(client: SandboxClient, video_id: str) -> str:
    return str((await client.heygen(f"{V2}/{video_id}")).data["status"])


async def test_missing_and_wrong_key_get_the_same_response() -> None:
    async with sandbox_client() as client:
        url = client.environment["HEYGEN_API_BASE"] + f"{V3}/one"
        missing, wrong = await client.fetch(url), await client.fetch(url, **{"X-Api-Key": "no"})
    assert missing.status == wrong.status == 401
    assert missing.body == wrong.body
    assert missing.headers["X-Request-Id"] != wrong.headers["X-Request-Id"]


STATUS_BY_KEYWORD = {
    "plain": ("completed", "completed", "success"),
    "failed": ("failed", "failed", "failed"),
    "stuck": ("running", "processing", "running"),
    "slow": ("pending", "queued", "pending"),
    "oddstate": ("unknown_status", "unknown_status", "unknown_status"),
}


@pytest.mark.parametrize("keyword", STATUS_BY_KEYWORD)
async def test_heygen_routes_have_different_names_for_a_state(keyword: str) -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        video_id = f"id-{keyword}"
        statuses = (
            (await get_detail(client, video_id)).data["status"],
            (await get_statuses(client, video_id))[video_id],
            await get_v2_status(client, video_id),
        )
    assert statuses == STATUS_BY_KEYWORD[keyword]


async def test_slow_video_completes_after_its_first_request() -> None:
    async with sandbox_client(heygen_finish_seconds=9.0) as client:
        videos = ["id-slow", "id-oddstate", "id-stuck"]
        await asyncio.sleep(100)
        await get_statuses(client, *videos)
        await asyncio.sleep(5)
        assert (await get_statuses(client, "id-slow"))["id-slow"] == "processing"
        await asyncio.sleep(5)
        after = await get_statuses(client, *videos)
    assert list(map(after.get, videos)) == ["completed", "completed", "processing"]


async def test_heygen_running_share_of_videos_runs_at_first_request() -> None:
    ids = list(heygen_ids(100))
    async with sandbox_client(heygen_running=0.3) as client:
        before = await get_statuses(client, *ids)
        await asyncio.sleep(10)
        after = await get_statuses(client, *ids)
    assert 15 < sum(status != "completed" for status in before.values()) < 45
    assert set(after.values()) == {"completed"}


LINKS_BY_KEYWORD = {
    "nocaption": (None, None),
    "emptylink": ("", ""),
    "latelink": (None, "link"),
    "lateempty": ("", "link"),
    "plain": ("link", "link"),
    "srtonly": (None, None),
}


@pytest.mark.parametrize("keyword", LINKS_BY_KEYWORD)
async def test_keyword_decides_when_the_caption_link_is_present(keyword: str) -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        links = []
        for _ in range(2):
            data = (await get_detail(client, f"id-{keyword}")).data
            assert data["status"] == "completed"
            link = data["vtt_caption_url"]
            links.append("link" if link and "/files2/" in link else link)
            await asyncio.sleep(31)
    assert tuple(links) == LINKS_BY_KEYWORD[keyword]


@pytest.mark.parametrize("keyword", ["plain", "srtonly"])
async def test_srt_link_leads_to_the_captions_in_subrip(keyword: str) -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        response = await client.fetch(
            (await get_detail(client, f"id-{keyword}")).data["srt_caption_url"]
        )
    assert (response.status, response.headers["Content-Type"]) == (200, "application/x-subrip")
    assert response.body.decode().splitlines()[:2] == ["1", "00:00:00,000 --> 00:00:02,300"]


async def test_unknown_video_is_not_found_on_every_route() -> None:
    async with sandbox_client() as client:
        v3, v2 = await get_detail(client, "id-missing"), await get_caption(client, "id-missing")
        assert await get_statuses(client, "id-missing") == {"id-missing": "not_found"}
    assert (v3.status, v3.json["error"]["code"]) == (404, "video_not_found")
    assert v2.status == 404
    assert v2.json["error"]


async def test_failed_video_has_a_failure_message() -> None:
    async with sandbox_client() as client:
        data = (await get_detail(client, "id-failed")).data
        assert (await get_detail(client, "id-forbidden")).status == 403
    assert data["failure_message"]
    assert data["vtt_caption_url"] is None


async def test_statuses_take_100_ids_and_return_them_in_another_order() -> None:
    ids = [f"id-{number}" for number in range(101)]
    async with sandbox_client() as client:
        too_many = await client.heygen(f"{V3}/statuses?video_translation_ids={','.join(ids)}")
        none = await client.heygen(f"{V3}/statuses")
        statuses = await get_statuses(client, *ids[:100])
        encoded = await client.heygen(
            f"{V3}/statuses?video_translation_ids={'%2C'.join(ids[:100])}"
        )
    for response in (too_many, none):
        assert (response.status, response.json["error"]["code"]) == (400, "invalid_parameter")
        assert response.json["error"]["param"] == "video_translation_ids"
    assert set(statuses) == set(ids[:100])
    assert list(statuses) != ids[:100]
    assert {row["video_id"] for row in encoded.data} == set(statuses)
    assert (encoded.json["has_more"], encoded.json["next_token"]) == (False, None)


async def test_statuses_page_option_splits_the_response() -> None:
    query = f"{V3}/statuses?video_translation_ids=a,b,c"
    async with sandbox_client(statuses_page=2) as client:
        first = (await client.heygen(query)).json
        second = (await client.heygen(f"{query}&token={first['next_token']}")).json
    assert first["has_more"]
    assert not second["has_more"]
    assert {row["video_id"] for row in first["data"] + second["data"]} == {"a", "b", "c"}


async def test_list_shows_the_account_newest_first() -> None:
    async with sandbox_client(heygen_account=15, heygen_ids=("own",)) as client:
        first = (await client.heygen(V3)).json
        second = (await client.heygen(f"{V3}?limit=10&token={first['next_token']}")).json
        detail = (await get_detail(client, "own")).data
        for limit in ("101", "0", "", "ten", "1&limit=2", "%D9%A3", "9" * 5000):
            assert (await client.heygen(f"{V3}?limit={limit}")).status == 400, limit
    ids = [row["id"] for row in first["data"] + second["data"]]
    assert ids == ["own", *reversed(list(heygen_ids(15)))]
    assert (first["has_more"], second["has_more"], second["next_token"]) == (True, False, None)
    assert first["data"][0].keys() == detail.keys()


async def test_caption_link_differs_at_every_request_and_the_file_does_not() -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        links = [(await get_caption(client, "one-ja")).data["caption_url"] for _ in range(2)]
        links.append((await get_detail(client, "one-ja")).data["vtt_caption_url"])
        bodies = {(await client.fetch(link)).body for link in links}
    assert len(set(links)) == 3
    assert len(bodies) == 1
    assert "港" in bodies.pop().decode()


@pytest.mark.parametrize("shape", ["null", "string", "object"])
async def test_heygen_error_shape_option_changes_v2_errors(shape: str) -> None:
    async with sandbox_client(heygen_error_shape=shape) as client:
        response = await client.heygen(f"{V2}/caption?video_translate_id=one&caption_type=srt")
    assert response.status == 400
    types: dict[str, type] = {"null": type(None), "string": str, "object": dict}
    assert isinstance(response.json["error"], types[shape])


UNREADY = {"empty": (200, ""), "null": (200, None), "absent": (200, "-"), "error": (400, "-")}


@pytest.mark.parametrize("option", UNREADY)
async def test_heygen_v2_unready_option_changes_a_missing_caption(option: str) -> None:
    async with sandbox_client(heygen_v2_unready=option) as client:
        response = await get_caption(client, "id-nocaption")
    caption_url = (response.json.get("data") or {}).get("caption_url", "-")
    assert (response.status, caption_url) == UNREADY[option]


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("status", [404, 410])
async def test_retired_version_differs_from_a_missing_video(version: str, status: int) -> None:
    options: dict[str, Any] = {f"heygen_{version}": f"gone{status}"}
    async with sandbox_client(**options) as client:
        responses = {"v2": await get_caption(client, "one"), "v3": await get_detail(client, "one")}
    assert responses[version].status == status
    assert "error" not in responses[version].json
    assert client.sandbox.request_log.count(f"heygen.{version}.gone", key="one", status=status) == 1
    assert responses["v3" if version == "v2" else "v2"].status == 200


async def test_account_without_credit_gets_402() -> None:
    async with sandbox_client(heygen_no_credit=True) as client:
        response = await get_detail(client, "one")
    assert (response.status, response.json["error"]["code"]) == (402, "insufficient_credit")


async def test_languages_are_listed_by_name() -> None:
    async with sandbox_client() as client:
        for path in (f"{V3}/languages", f"{V2}/target_languages"):
            languages = (await client.heygen(path)).data["languages"]
            assert {"Japanese", "Spanish (Spain)", "Portuguese (Brazil)"} <= set(languages)
