"""Robots, assets and the stream host, as the Mux docs have them."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
import webvtt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from batchcap.sandbox import MUX_KEYWORDS
from tests.sandbox.client import EPOCH, Client, Reply, asking

pytestmark = pytest.mark.anyio

JOBS = "/robots/v0/jobs/translate-captions"


def refused(reply: Reply, status: int) -> str:
    """The message of a Robots error, checked to be one."""
    assert reply.status == status, reply.body
    error = reply.json["error"]
    assert error.keys() == {"type", "message"}
    return str(error["message"])


async def test_credentials_are_asked_for() -> None:
    async with asking() as client:
        base = client.around["MUX_BASE_URL"]
        for headers in ({}, {"Authorization": "Basic bm90OnJpZ2h0"}):
            robots = await client.fetch(base + JOBS + "/x", **headers)
            refused(robots, 401)
            video = await client.fetch(base + "/video/v1/assets/x", **headers)
            assert video.status == 401
            assert video.json["error"]["messages"]


async def test_robots_needs_its_terms_accepted_and_video_does_not() -> None:
    async with asking(robots_terms=False) as client:
        refused(await client.create("one"), 403)
        assert (await client.mux("/video/v1/assets/one")).status == 200


async def test_a_job_goes_through_its_states_and_leaves_a_track() -> None:
    async with asking(job_sigma=0.0, job_seconds=10.0, job_seconds_max=10.0) as client:
        created = (await client.create("one", passthrough="mine")).data
        assert (created["status"], created["passthrough"]) == ("pending", "mine")
        await asyncio.sleep(5)
        assert (await client.job(created["id"])).data["status"] == "processing"
        await asyncio.sleep(6)
        job = (await client.job(created["id"])).data
        assert job["status"] == "completed"
        assert job["units_consumed"] >= 1
        assert job["updated_at"] - job["created_at"] == 10
        asset = (await client.mux("/video/v1/assets/one")).data
        new = [t for t in asset["tracks"] if t["id"] == job["outputs"]["uploaded_track_id"]]
        assert [(t["language_code"], t["status"]) for t in new] == [("es", "ready")]
        playback = asset["playback_ids"][0]["id"]
        streamed = await client.stream(f"/{playback}/text/{new[0]['id']}.vtt")
        linked = await client.fetch(job["outputs"]["temporary_vtt_url"])
    assert streamed.status == linked.status == 200
    assert streamed.headers["Content-Type"] == "text/vtt"
    assert streamed.body == linked.body


async def test_captions_are_webvtt_of_as_many_cues_in_every_language() -> None:
    async with asking(caption_bytes=20_000) as client:
        texts = {}
        for language in ("es", "ja", "pt-BR", "tlh"):
            job = await client.ended("one", language)
            texts[language] = (await client.fetch(job["outputs"]["temporary_vtt_url"])).body
        job = await client.ended("two", "es")
        texts["two"] = (await client.fetch(job["outputs"]["temporary_vtt_url"])).body
    assert len(set(texts.values())) == len(texts)
    cues = {len(webvtt.from_string(text.decode()).captions) for text in texts.values()}
    assert cues == {238}
    assert 15_000 < len(texts["es"]) < 25_000


async def test_an_uploaded_track_is_preparing_for_a_moment() -> None:
    async with asking(job_sigma=0.0, job_seconds=1.0, track_settle_seconds=5.0) as client:
        created = (await client.create("one")).data["id"]
        await asyncio.sleep(2)
        track = (await client.job(created)).data["outputs"]["uploaded_track_id"]
        path = f"/public_one/text/{track}.vtt"
        early = await client.stream(path)
        await asyncio.sleep(5)
        assert (early.status, (await client.stream(path)).status) == (404, 200)


@pytest.mark.parametrize("word", ["missing", "noplayback"])
async def test_an_asset_that_cannot_be_translated_is_422(word: str) -> None:
    async with asking() as client:
        refused(await client.create(f"id-{word}-1"), 422)
        status = (await client.mux(f"/video/v1/assets/id-{word}-1")).status
    assert status == (404 if word == "missing" else 200)


@pytest.mark.parametrize("word", ["preparing", "autotrack"])
async def test_a_source_track_that_is_not_ready_is_422(word: str) -> None:
    async with asking() as client:
        language = "auto" if word == "autotrack" else "en"
        track = await client.track(f"id-{word}", language)
        refused(await client.create(f"id-{word}", track_id=track), 422)


@pytest.mark.parametrize("track", ["t-missing", "t-preparing"])
async def test_a_track_id_may_be_bad_by_its_own_words(track: str) -> None:
    async with asking() as client:
        refused(await client.create("one", track_id=track), 422)


TRACKS: dict[str, list[tuple[str, str]]] = {
    "plain": [("en", "generated_vod")],
    "notrack": [],
    "twotracks": [("en", "uploaded"), ("en-US", "generated_vod")],
    "live": [("en", "generated_live"), ("en", "generated_live_final")],
    "has-es-has-pt-BR": [("en", "generated_vod"), ("es", "uploaded"), ("pt-BR", "uploaded")],
    "has-es-0001": [("en", "generated_vod"), ("es", "uploaded")],
}


@pytest.mark.parametrize("word", TRACKS)
async def test_words_decide_the_tracks_of_an_asset(word: str) -> None:
    async with asking() as client:
        tracks = (await client.mux(f"/video/v1/assets/id-{word}")).data["tracks"]
    found = [(t["language_code"], t["text_source"]) for t in tracks if t["type"] == "text"]
    assert found == TRACKS[word]


RETRYABLE: dict[str, Any] = {"fails": True, "failsforever": False, "failsodd": None}


@pytest.mark.parametrize("word", RETRYABLE)
async def test_a_job_fails_as_its_asset_says(word: str) -> None:
    async with asking() as client:
        for _ in range(2):
            job = await client.ended(f"id-{word}")
            assert job["status"] == "errored"
            assert job["errors"][0].get("retryable") is RETRYABLE[word]
            assert job["units_consumed"] == 0
            assert "outputs" not in job


async def test_a_job_that_fails_once_completes_the_second_time() -> None:
    async with asking() as client:
        jobs = [await client.ended("id-failsonce") for _ in range(2)]
    assert [job["status"] for job in jobs] == ["errored", "completed"]


async def test_jobs_end_as_their_asset_says() -> None:
    async with asking() as client:
        assert (await client.ended("id-cancelled"))["status"] == "cancelled"
        assert (await client.ended("id-stuck"))["status"] == "processing"
        nolink = (await client.ended("id-nolink"))["outputs"]
        assert nolink.keys() == {"track_id", "uploaded_track_id"}
        assert (await client.ended("id-nooutput"))["outputs"].keys() == {"track_id"}
        created = (await client.create("id-oddstate")).data
        assert created["status"] not in {"pending", "processing", "completed"}
        refused(await client.create("id-oddstate"), 409)
        await asyncio.sleep(30)
        assert (await client.job(created["id"])).data["status"] == "completed"


@pytest.mark.parametrize("given", [True, False])
async def test_without_upload_there_is_no_track_and_a_link_by_option(given: bool) -> None:
    async with asking(url_without_upload=given, source_track_in_outputs=False) as client:
        job = await client.ended("one", upload_to_mux=False)
        assert job["outputs"].keys() == ({"temporary_vtt_url"} if given else set())
        assert job["parameters"]["upload_to_mux"] is False
        tracks = (await client.mux("/video/v1/assets/one")).data["tracks"]
    assert "es" not in {t.get("language_code") for t in tracks}


async def test_a_track_in_the_target_language_is_in_the_way_unless_it_may_be_replaced() -> None:
    async with asking() as client:
        message = refused(await client.create("id-has-es"), 422)
        assert "exists" in message
        rule = "replace_generated"
        refused(await client.create("id-has-es", replace_existing_tracks=rule), 422)
        await client.ended("id-has-es", replace_existing_tracks="replace_all")
        tracks = (await client.mux("/video/v1/assets/id-has-es")).data["tracks"]
        assert [t.get("language_code") for t in tracks].count("es") == 1
        refused(await client.create("one", replace_existing_tracks="replace"), 422)
        refused(await client.create("one", track_name="English"), 422)


async def test_what_was_translated_is_in_the_way_of_the_next() -> None:
    async with asking() as client:
        await client.ended("one")
        refused(await client.create("one"), 422)
        assert (await client.create("one", "ja")).status == 202


DUPLICATES = {"refuse_active": (409, 202), "refuse_any": (409, 409), "allow": (202, 202)}


@pytest.mark.parametrize("rule", DUPLICATES)
async def test_equal_jobs_are_refused_by_option(rule: str) -> None:
    async with asking(duplicates=rule) as client:
        assert (await client.create("one", upload_to_mux=False)).status == 202
        active = await client.create("one", upload_to_mux=False)
        await asyncio.sleep(60)
        ended = await client.create("one", upload_to_mux=False)
    assert (active.status, ended.status) == DUPLICATES[rule]


BODIES: list[Any] = [
    b"{",
    b"[" * 100_000,
    [],
    {},
    {"parameters": {"asset_id": "one", "track_id": "t"}},
    {"parameters": {"asset_id": "", "track_id": "t", "to_language_code": "es"}},
    {"parameters": {"asset_id": "one", "track_id": "t", "to_language_code": "not a tag"}},
    {"parameters": {"asset_id": "one", "track_id": 7, "to_language_code": "es"}},
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_a_bad_body_is_422(body: Any) -> None:
    async with asking() as client:
        refused(await client.mux(JOBS, "POST", body), 422)
        assert client.sandbox.request_log.creates == []


async def test_parameters_are_echoed_with_defaults() -> None:
    async with asking() as client:
        given: dict[str, Any] = {"never_translate": ["Mux"], "track_name": "Español"}
        job = (await client.create("one", **given)).data
    assert job["parameters"] == {
        "asset_id": "one",
        "track_id": "the-track",
        "to_language_code": "es",
        "upload_to_mux": True,
        **given,
    }


async def made(client: Client, count: int) -> list[str]:
    found = []
    for number in range(count):
        found.append((await client.create(f"a-{number}")).data["id"])
        await asyncio.sleep(1)
    return found


async def test_the_list_pages_through_summaries() -> None:
    async with asking() as client:
        ids = await made(client, 30)
        first = (await client.mux("/robots/v0/jobs")).json
        second = (await client.mux("/robots/v0/jobs?page=2")).json
        beyond = (await client.mux("/robots/v0/jobs?page=3")).json
        small = (await client.mux("/robots/v0/jobs?limit=7&page=5")).data
        client.sandbox.change(list_order="oldest")
        oldest = (await client.mux("/robots/v0/jobs?limit=2&page=2")).data
    assert [row["id"] for row in first["data"] + second["data"]] == ids[::-1]
    assert first["total_row_count"] == beyond["total_row_count"] == 30
    assert (beyond["data"], [row["id"] for row in small]) == ([], ids[1::-1])
    assert [row["id"] for row in oldest] == ids[2:4]
    assert first["data"][0].keys() == {
        *("id", "workflow", "status", "created_at", "updated_at", "_links")
    }


async def test_the_list_filters() -> None:
    async with asking() as client:
        await made(client, 3)
        await asyncio.sleep(60)
        stuck = (await client.create("id-stuck")).data["id"]
        for query, expected in {
            "status=completed": 3,
            "status=pending": 1,
            "asset_id=a-1": 1,
            "asset_id=a-1&status=pending": 0,
            "workflow=translate-captions": 4,
            "workflow=summarize": 0,
        }.items():
            assert (await client.mux(f"/robots/v0/jobs?{query}")).json[
                "total_row_count"
            ] == expected
        assert (await client.mux("/robots/v0/jobs?status=pending")).data[0]["id"] == stuck
        for query in ("limit=0", "limit=101", "limit=x", "page=0"):
            refused(await client.mux(f"/robots/v0/jobs?{query}"), 422)


async def test_a_cancel_ends_a_job_once() -> None:
    async with asking() as client:
        stuck = (await client.create("id-stuck")).data["id"]
        cancelled = await client.mux(f"/robots/v0/jobs/{stuck}/cancel", "POST")
        assert (cancelled.status, cancelled.data["status"]) == (200, "cancelled")
        refused(await client.mux(f"/robots/v0/jobs/{stuck}/cancel", "POST"), 409)
        refused(await client.mux("/robots/v0/jobs/rjob_none/cancel", "POST"), 404)
        assert (await client.create("id-stuck")).status == 202


async def test_jobs_are_deleted_after_thirty_days_and_their_tracks_stay() -> None:
    async with asking() as client:
        job = await client.ended("one")
        client.sandbox.advance(29 * 86400)
        assert (await client.job(job["id"])).status == 200
        client.sandbox.advance(86400)
        refused(await client.job(job["id"]), 404)
        assert (await client.mux("/robots/v0/jobs")).json == {"data": [], "total_row_count": 0}
        track = job["outputs"]["uploaded_track_id"]
        assert (await client.stream(f"/public_one/text/{track}.vtt")).status == 200


@pytest.mark.parametrize("body", ["json", "html"])
@pytest.mark.parametrize("status", [404, 410])
async def test_a_retired_version_is_gone_for_every_path(status: int, body: str) -> None:
    async with asking(robots_v0=f"gone{status}", gone_body=body) as client:
        replies = [
            await client.create("one"),
            await client.job("x"),
            await client.mux("/robots/v0/jobs"),
        ]
    assert {reply.status for reply in replies} == {status}
    assert {reply.headers["Content-Type"].startswith("text/html") for reply in replies} == {
        body == "html"
    }


async def test_robots_v1_is_no_route() -> None:
    async with asking() as client:
        refused(await client.mux("/robots/v1/jobs/translate-captions", "POST", {}), 404)


async def test_the_account_lists_its_assets() -> None:
    async with asking(mux_account=12, mux_ids=("mine",)) as client:
        first = (await client.mux("/video/v1/assets?limit=10")).data
        second = (await client.mux("/video/v1/assets?limit=10&page=2")).data
        assert (await client.mux("/video/v1/assets?limit=500")).status == 400
    assert [len(first), len(second)] == [10, 3]
    assert first[0]["id"] == "mine"
    assert first[0]["tracks"]
    assert first[0]["playback_ids"]


async def test_strict_ids_exist_only_in_the_account() -> None:
    async with asking(strict_ids=True, mux_account=1, mux_ids=("mine",)) as client:
        assert (await client.mux("/video/v1/assets/other")).status == 404
        refused(await client.create("other"), 422)
        refused(await client.create("mine", track_id="not-its-own"), 422)
        track = await client.track("mine")
        assert (await client.create("mine", track_id=track)).status == 202


async def test_the_stream_host_says_what_is_wrong() -> None:
    async with asking() as client:
        track = await client.track("one")
        assert (await client.stream(f"/public_one/text/{track}.vtt")).status == 200
        for path in (f"/public_one/text/{track}.vt", "/public_one/text", "/x"):
            reply = await client.stream(path)
            assert (reply.status, reply.json) == (400, {"code": 3, "message": "Invalid parameter"})
        for path in ("/public_one/text/none.vtt", f"/signed_one/text/{track}.vtt"):
            reply = await client.stream(path)
            assert (reply.status, reply.json) == (404, {"code": 5, "message": "Not Found"})
        drm = await client.track("id-drm")
        assert (await client.stream(f"/drm_id-drm/text/{drm}.vtt")).status == 403


async def test_a_signed_playback_id_needs_a_good_token() -> None:
    ours, theirs = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = ours.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    async with asking(mux_signing_key="kid", mux_signing_public_key=public.decode()) as client:
        asset = (await client.mux("/video/v1/assets/id-signed")).data
        assert [each["policy"] for each in asset["playback_ids"]] == ["signed"]
        playback, track = asset["playback_ids"][0]["id"], await client.track("id-signed")
        good = {"sub": playback, "aud": "v", "exp": int(EPOCH) + 3600}

        async def status(key: Any = ours, kid: str = "kid", **claims: Any) -> int:
            token = jwt.encode({**good, **claims}, key, "RS256", headers={"kid": kid})
            reply = await client.stream(f"/{playback}/text/{track}.vtt?token={token}")
            return reply.status

        assert await status() == 200
        assert await status(kid="other") == 403
        assert await status(sub="other") == 403
        assert await status(aud="t") == 403
        assert await status(exp=int(EPOCH) - 1) == 403
        assert await status(key=theirs) == 403
        assert (await client.stream(f"/{playback}/text/{track}.vtt")).status == 403
        assert (await client.stream(f"/{playback}/text/{track}.vtt?token=a.b.c")).status == 403


def test_every_word_is_told_of() -> None:
    assert all(MUX_KEYWORDS.values())
