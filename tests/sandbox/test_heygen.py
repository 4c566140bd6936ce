"""HeyGen's v3 and v2, as its docs have them."""

from __future__ import annotations

import asyncio

import pytest

from batchcap.sandbox import heygen_ids
from tests.sandbox.client import Client, Reply, asking

pytestmark = pytest.mark.anyio

V3 = "/v3/video-translations"
V2 = "/v2/video_translate"


async def detail(client: Client, video_id: str) -> Reply:
    return await client.heygen(f"{V3}/{video_id}")


async def statuses(client: Client, *ids: str) -> dict[str, str]:
    reply = await client.heygen(f"{V3}/statuses?video_translation_ids={','.join(ids)}")
    return {row["video_id"]: row["status"] for row in reply.data}


async def caption(client: Client, video_id: str) -> Reply:
    return await client.heygen(f"{V2}/caption?video_translate_id={video_id}&caption_type=vtt")


async def v2_status(client: Client, video_id: str) -> str:
    return str((await client.heygen(f"{V2}/{video_id}")).data["status"])


async def test_a_missing_and_a_wrong_key_get_the_same_answer() -> None:
    async with asking() as client:
        url = client.around["HEYGEN_API_BASE"] + f"{V3}/one"
        missing, wrong = await client.fetch(url), await client.fetch(url, **{"X-Api-Key": "no"})
    assert missing.status == wrong.status == 401
    assert missing.body == wrong.body
    assert missing.headers["X-Request-Id"] != wrong.headers["X-Request-Id"]


STATES = {
    "plain": ("completed", "completed", "success"),
    "failed": ("failed", "failed", "failed"),
    "stuck": ("running", "processing", "running"),
    "slow": ("pending", "queued", "pending"),
    "oddstate": ("unknown_status", "unknown_status", "unknown_status"),
}


@pytest.mark.parametrize("word", STATES)
async def test_one_state_has_three_words(word: str) -> None:
    async with asking(heygen_running=0.0) as client:
        video = f"id-{word}"
        found = (
            (await detail(client, video)).data["status"],
            (await statuses(client, video))[video],
            await v2_status(client, video),
        )
    assert found == STATES[word]


async def test_what_is_slow_or_odd_completes_some_time_after_the_first_look() -> None:
    async with asking(heygen_finish_seconds=9.0) as client:
        videos = ["id-slow", "id-oddstate", "id-stuck"]
        await asyncio.sleep(100)
        await statuses(client, *videos)
        await asyncio.sleep(5)
        assert (await statuses(client, "id-slow"))["id-slow"] == "processing"
        await asyncio.sleep(5)
        after = await statuses(client, *videos)
    assert list(map(after.get, videos)) == ["completed", "completed", "processing"]


async def test_a_share_of_videos_still_runs_at_the_first_look() -> None:
    ids = list(heygen_ids(100))
    async with asking(heygen_running=0.3) as client:
        before = await statuses(client, *ids)
        await asyncio.sleep(10)
        after = await statuses(client, *ids)
    assert 15 < sum(word != "completed" for word in before.values()) < 45
    assert set(after.values()) == {"completed"}


LINKS = {
    "nocaption": (None, None),
    "emptylink": ("", ""),
    "latelink": (None, "link"),
    "lateempty": ("", "link"),
    "plain": ("link", "link"),
}


@pytest.mark.parametrize("word", LINKS)
async def test_a_caption_link_is_there_when_the_words_say(word: str) -> None:
    async with asking(heygen_running=0.0) as client:
        found = []
        for _ in range(2):
            data = (await detail(client, f"id-{word}")).data
            assert data["status"] == "completed"
            link = data["vtt_caption_url"]
            found.append("link" if link and "/files2/" in link else link)
            await asyncio.sleep(31)
    assert tuple(found) == LINKS[word]


async def test_an_unknown_video_is_told_in_every_way() -> None:
    async with asking() as client:
        v3, v2 = await detail(client, "id-missing"), await caption(client, "id-missing")
        assert await statuses(client, "id-missing") == {"id-missing": "not_found"}
    assert (v3.status, v3.json["error"]["code"]) == (404, "video_not_found")
    assert v2.status == 404
    assert v2.json["error"]


async def test_a_failed_video_says_why() -> None:
    async with asking() as client:
        data = (await detail(client, "id-failed")).data
        assert (await detail(client, "id-forbidden")).status == 403
    assert data["failure_message"]
    assert data["vtt_caption_url"] is None


async def test_statuses_take_a_hundred_ids_and_answer_in_an_order_of_their_own() -> None:
    ids = [f"id-{number}" for number in range(101)]
    async with asking() as client:
        too_many = await client.heygen(f"{V3}/statuses?video_translation_ids={','.join(ids)}")
        none = await client.heygen(f"{V3}/statuses")
        found = await statuses(client, *ids[:100])
        encoded = await client.heygen(
            f"{V3}/statuses?video_translation_ids={'%2C'.join(ids[:100])}"
        )
    for reply in (too_many, none):
        assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_parameter")
        assert reply.json["error"]["param"] == "video_translation_ids"
    assert set(found) == set(ids[:100])
    assert list(found) != ids[:100]
    assert {row["video_id"] for row in encoded.data} == set(found)
    assert (encoded.json["has_more"], encoded.json["next_token"]) == (False, None)


async def test_statuses_may_come_in_pages() -> None:
    query = f"{V3}/statuses?video_translation_ids=a,b,c"
    async with asking(statuses_page=2) as client:
        first = (await client.heygen(query)).json
        second = (await client.heygen(f"{query}&token={first['next_token']}")).json
    assert first["has_more"]
    assert not second["has_more"]
    assert {row["video_id"] for row in first["data"] + second["data"]} == {"a", "b", "c"}


async def test_the_list_shows_the_account_newest_first() -> None:
    async with asking(heygen_account=15, heygen_ids=("mine",)) as client:
        first = (await client.heygen(V3)).json
        second = (await client.heygen(f"{V3}?limit=10&token={first['next_token']}")).json
        one = (await detail(client, "mine")).data
        assert (await client.heygen(f"{V3}?limit=101")).status == 400
    ids = [row["id"] for row in first["data"] + second["data"]]
    assert ids == ["mine", *reversed(list(heygen_ids(15)))]
    assert (first["has_more"], second["has_more"], second["next_token"]) == (True, False, None)
    assert first["data"][0].keys() == one.keys()


async def test_a_link_is_signed_anew_every_time_and_the_file_stays() -> None:
    async with asking(heygen_running=0.0) as client:
        links = [(await caption(client, "one-ja")).data["caption_url"] for _ in range(2)]
        links.append((await detail(client, "one-ja")).data["vtt_caption_url"])
        bodies = {(await client.fetch(link)).body for link in links}
    assert len(set(links)) == 3
    assert len(bodies) == 1
    assert "港" in bodies.pop().decode()


@pytest.mark.parametrize("shape", ["null", "string", "object"])
async def test_errors_of_v2_come_in_three_shapes(shape: str) -> None:
    async with asking(heygen_error_shape=shape) as client:
        reply = await client.heygen(f"{V2}/caption?video_translate_id=one&caption_type=srt")
    assert reply.status == 400
    kinds: dict[str, type] = {"null": type(None), "string": str, "object": dict}
    assert isinstance(reply.json["error"], kinds[shape])


UNREADY = {"empty": (200, ""), "null": (200, None), "absent": (200, "-"), "error": (400, "-")}


@pytest.mark.parametrize("how", UNREADY)
async def test_a_caption_of_v2_that_is_not_there_is_told_by_option(how: str) -> None:
    async with asking(heygen_v2_unready=how) as client:
        reply = await caption(client, "id-nocaption")
    found = (reply.json.get("data") or {}).get("caption_url", "-")
    assert (reply.status, found) == UNREADY[how]


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("status", [404, 410])
async def test_a_retired_version_is_told_apart_from_a_missing_video(
    version: str, status: int
) -> None:
    async with asking(**{f"heygen_{version}": f"gone{status}"}) as client:
        replies = {"v2": await caption(client, "one"), "v3": await detail(client, "one")}
    assert replies[version].status == status
    assert "error" not in replies[version].json
    assert client.sandbox.request_log.count(f"heygen.{version}.gone", key="one", status=status) == 1
    assert replies["v3" if version == "v2" else "v2"].status == 200


async def test_without_credit_everything_is_402() -> None:
    async with asking(heygen_no_credit=True) as client:
        reply = await detail(client, "one")
    assert (reply.status, reply.json["error"]["code"]) == (402, "insufficient_credit")


async def test_nothing_is_ever_created_and_a_post_is_counted() -> None:
    async with asking() as client:
        assert (await client.heygen(V3, "POST")).status == 405
        assert client.sandbox.request_log.count("heygen.post") == 1
        assert client.sandbox.request_log.count("heygen.v3.list") == 0


async def test_languages_are_listed() -> None:
    async with asking() as client:
        for path in (f"{V3}/languages", f"{V2}/target_languages"):
            assert "ja" in (await client.heygen(path)).data["languages"]
