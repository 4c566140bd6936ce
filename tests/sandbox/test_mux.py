"""Robots, assets and the stream host, as Mux's documents describe them."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
import webvtt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from batchcap.sandbox import MUX_KEYWORDS
from tests.sandbox.client import EPOCH, Response, SandboxClient, sandbox_client

pytestmark = pytest.mark.anyio

JOBS = "/robots/v0/jobs/translate-captions"


def assert_robots_error(response: Response, status: int) -> str:
    """Check that a response is a Robots error and return its message."""
    assert response.status == status, response.body
    error = response.json["error"]
    assert error.keys() == {"type", "messages"}
    return str(error["messages"][0])


async def test_request_without_valid_credentials_gets_401() -> None:
    async with sandbox_client() as client:
        base = client.environment["MUX_BASE_URL"]
        for headers in ({}, {"Authorization": "Basic bm90OnJpZ2h0"}):
            robots = await client.fetch(base + JOBS + "/x", **headers)
            assert_robots_error(robots, 401)
            video = await client.fetch(base + "/video/v1/assets/x", **headers)
            assert video.status == 401
            assert video.json["error"]["messages"]


async def test_robots_without_accepted_terms_gets_403_and_video_does_not() -> None:
    async with sandbox_client(robots_terms=False) as client:
        message = assert_robots_error(await client.create("one"), 403)
        assert "https://dashboard.mux.com/organizations/" in message
        assert (await client.mux("/video/v1/assets/one")).status == 200


async def test_job_goes_through_its_statuses_and_uploads_a_track() -> None:
    async with sandbox_client(job_sigma=0.0, job_seconds=10.0, job_seconds_max=10.0) as client:
        created = (await client.create("one", passthrough="text")).data
        assert (created["status"], created["passthrough"]) == ("pending", "text")
        await asyncio.sleep(5)
        assert (await client.get_job(created["id"])).data["status"] == "processing"
        await asyncio.sleep(6)
        job = (await client.get_job(created["id"])).data
        assert job["status"] == "completed"
        assert job["units_consumed"] >= 1
        assert job["updated_at"] - job["created_at"] == 10
        asset = (await client.mux("/video/v1/assets/one")).data
        track_id = job["outputs"]["uploaded_track_id"]
        (track,) = (track for track in asset["tracks"] if track["id"] == track_id)
        assert (track["language_code"], track["status"]) == ("es", "ready")
        playback_id = asset["playback_ids"][0]["id"]
        streamed = await client.stream(f"/{playback_id}/text/{track_id}.vtt")
        linked = await client.fetch(job["outputs"]["temporary_vtt_url"])
    assert streamed.status == linked.status == 200
    assert streamed.headers["Content-Type"] == "text/vtt"
    assert streamed.body == linked.body


async def test_captions_are_webvtt_with_the_same_number_of_cues_in_every_language() -> None:
    async with sandbox_client(caption_bytes=20_000) as client:
        texts = {}
        for language in ("es", "ja", "pt-BR", "tlh"):
            job = await client.run_job("one", language)
            texts[language] = (await client.fetch(job["outputs"]["temporary_vtt_url"])).body
        job = await client.run_job("two", "es")
        texts["two"] = (await client.fetch(job["outputs"]["temporary_vtt_url"])).body
    assert len(set(texts.values())) == len(texts)
    cues = {len(webvtt.from_string(text.decode()).captions) for text in texts.values()}
    assert cues == {238}
    assert 15_000 < len(texts["es"]) < 25_000


async def test_uploaded_track_is_preparing_for_track_settle_seconds() -> None:
    async with sandbox_client(job_sigma=0.0, job_seconds=1.0, track_settle_seconds=5.0) as client:
        created = (await client.create("one")).data["id"]
        await asyncio.sleep(2)
        track = (await client.get_job(created)).data["outputs"]["uploaded_track_id"]
        path = f"/public_one/text/{track}.vtt"
        early = await client.stream(path)
        await asyncio.sleep(5)
        assert (early.status, (await client.stream(path)).status) == (404, 200)


@pytest.mark.parametrize("keyword", ["missing", "noplayback"])
async def test_create_for_missing_asset_or_playback_id_gets_422(keyword: str) -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.create(f"id-{keyword}-1"), 422)
        status = (await client.mux(f"/video/v1/assets/id-{keyword}-1")).status
    assert status == (404 if keyword == "missing" else 200)


@pytest.mark.parametrize("keyword", ["preparing", "autotrack"])
async def test_create_with_unready_source_track_gets_422(keyword: str) -> None:
    async with sandbox_client() as client:
        language = "auto" if keyword == "autotrack" else "en"
        track = await client.find_track(f"id-{keyword}", language)
        assert_robots_error(await client.create(f"id-{keyword}", track_id=track), 422)


@pytest.mark.parametrize("track", ["t-missing", "t-preparing"])
async def test_create_with_keyword_in_track_id_gets_422(track: str) -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.create("one", track_id=track), 422)


TRACKS_BY_KEYWORD: dict[str, list[tuple[str, str]]] = {
    "plain": [("en", "generated_vod")],
    "notrack": [],
    "twotracks": [("en", "uploaded"), ("en-US", "generated_vod")],
    "live": [("en", "generated_live"), ("en", "generated_live_final")],
    "has-es-has-pt-BR": [("en", "generated_vod"), ("es", "uploaded"), ("pt-BR", "uploaded")],
    "has-es-0001": [("en", "generated_vod"), ("es", "uploaded")],
    "generated-fr": [("en", "generated_vod"), ("fr", "generated_vod")],
}


@pytest.mark.parametrize("keyword", TRACKS_BY_KEYWORD)
async def test_keyword_decides_the_tracks_of_an_asset(keyword: str) -> None:
    async with sandbox_client() as client:
        tracks = (await client.mux(f"/video/v1/assets/id-{keyword}")).data["tracks"]
    text_tracks = [
        (track["language_code"], track["text_source"])
        for track in tracks
        if track["type"] == "text"
    ]
    assert text_tracks == TRACKS_BY_KEYWORD[keyword]


RETRYABLE_BY_KEYWORD: dict[str, Any] = {"fails": True, "failsforever": False, "failsodd": None}


@pytest.mark.parametrize("keyword", RETRYABLE_BY_KEYWORD)
async def test_job_fails_as_the_keyword_says(keyword: str) -> None:
    async with sandbox_client() as client:
        for _ in range(2):
            job = await client.run_job(f"id-{keyword}")
            assert job["status"] == "errored"
            assert job["errors"][0].get("retryable") is RETRYABLE_BY_KEYWORD[keyword]
            assert job["units_consumed"] == 0
            assert "outputs" not in job


async def test_failsonce_job_completes_the_second_time() -> None:
    async with sandbox_client() as client:
        jobs = [await client.run_job("id-failsonce") for _ in range(2)]
    assert [job["status"] for job in jobs] == ["errored", "completed"]


async def test_job_ends_as_the_keyword_says() -> None:
    async with sandbox_client() as client:
        assert (await client.run_job("id-cancelled"))["status"] == "cancelled"
        assert (await client.run_job("id-stuck"))["status"] == "processing"
        nolink = (await client.run_job("id-nolink"))["outputs"]
        assert nolink.keys() == {"track_id", "uploaded_track_id"}
        assert (await client.run_job("id-nooutput"))["outputs"].keys() == {"track_id"}
        created = (await client.create("id-oddstate")).data
        assert created["status"] not in {"pending", "processing", "completed"}
        assert_robots_error(await client.create("id-oddstate"), 409)
        await asyncio.sleep(30)
        assert (await client.get_job(created["id"])).data["status"] == "completed"


@pytest.mark.parametrize("has_link", [True, False])
async def test_job_without_upload_has_no_track_and_a_link_by_option(has_link: bool) -> None:
    async with sandbox_client(url_without_upload=has_link, source_track_in_outputs=False) as client:
        job = await client.run_job("one", upload_to_mux=False)
        assert job["outputs"].keys() == ({"temporary_vtt_url"} if has_link else set())
        assert job["parameters"]["upload_to_mux"] is False
        tracks = (await client.mux("/video/v1/assets/one")).data["tracks"]
    assert "es" not in {track.get("language_code") for track in tracks}


async def test_create_with_other_parameters_is_no_duplicate() -> None:
    async with sandbox_client() as client:
        assert (await client.create("one", never_translate=["Mux"])).status == 202
        assert_robots_error(await client.create("one", never_translate=["Mux"]), 409)
        assert (await client.create("one", never_translate=["Video"])).status == 202


@pytest.mark.parametrize("keyword", ["drm", "noplayback"])
async def test_create_without_a_usable_playback_id_gets_422(keyword: str) -> None:
    async with sandbox_client() as client:
        assert "playback id" in assert_robots_error(await client.create(f"id-{keyword}"), 422)


REFUSALS = [("units", 403), ("workflow", 403), ("terms", 403), ("scope", 401)]


@pytest.mark.parametrize(("reason", "status"), REFUSALS)
async def test_create_beyond_the_limit_is_refused_and_jobs_go_on(reason: str, status: int) -> None:
    async with sandbox_client(create_limit=1, create_refusal=reason) as client:
        job = await client.run_job("one")
        assert_robots_error(await client.create("two"), status)
        assert (await client.get_job(job["id"])).data["status"] == "completed"


async def test_create_beyond_the_units_limit_is_refused_and_a_cheaper_one_is_not() -> None:
    async with sandbox_client() as client:
        units = {}
        for asset_id in map(str, range(40)):
            units[(await client.run_job(asset_id))["units_consumed"]] = asset_id
        used, cheapest = (
            sum(job.outcome.units for job in client.sandbox.request_log.creates),
            min(units),
        )
        client.sandbox.change(units_limit=used + cheapest)
        dear = await client.create(units[max(units)], "ja")
        assert_robots_error(dear, 403)
        assert dear.json["error"]["type"] == "robots_units_limit_exceeded"
        assert (await client.create(units[cheapest], "ja")).status == 202
        assert_robots_error(await client.create(units[cheapest], "fr"), 403)


ERROR_SHAPES: dict[str, Any] = {
    "messages": {"error": {"type": "not_found", "messages": ["The requested job does not exist."]}},
    "message": {"error": {"type": "not_found", "message": "The requested job does not exist."}},
    "errors": {"errors": ["The requested job does not exist."]},
}


@pytest.mark.parametrize("shape", ERROR_SHAPES)
async def test_error_has_the_shape_of_the_option(shape: str) -> None:
    async with sandbox_client(mux_error_shape=shape) as client:
        response = await client.get_job("none")
    assert (response.status, response.json) == (404, ERROR_SHAPES[shape])


DUPLICATES = {"refuse_active": (409, 202), "refuse_any": (409, 409), "allow": (202, 202)}


@pytest.mark.parametrize("rule", DUPLICATES)
async def test_duplicates_option_decides_about_equal_jobs(rule: str) -> None:
    async with sandbox_client(duplicates=rule) as client:
        assert (await client.create("one", upload_to_mux=False)).status == 202
        active = await client.create("one", upload_to_mux=False)
        await asyncio.sleep(60)
        ended = await client.create("one", upload_to_mux=False)
    assert (active.status, ended.status) == DUPLICATES[rule]


async def test_equal_create_within_duplicate_lag_seconds_makes_and_bills_a_second_job() -> None:
    async with sandbox_client(duplicate_lag_seconds=2.0) as client:
        first, second = [await client.create("one", upload_to_mux=False) for _ in range(2)]
        assert first.status == second.status == 202
        await asyncio.sleep(60)
        jobs = [(await client.get_job(response.data["id"])).data for response in (first, second)]
    assert [job["status"] for job in jobs] == ["completed", "completed"]
    assert all(job["units_consumed"] for job in jobs)


BODIES: list[Any] = [
    b"{",
    b"[" * 100_000,
    [],
    {},
    {"parameters": {"asset_id": "one", "track_id": "t"}},
    {"parameters": {"asset_id": "", "track_id": "t", "to_language_code": "es"}},
    {"parameters": {"asset_id": "one", "track_id": "t", "to_language_code": "not a tag"}},
    {"parameters": {"asset_id": "one", "track_id": 7, "to_language_code": "es"}},
    {
        "parameters": {
            "asset_id": "a",
            "track_id": "t",
            "to_language_code": "es",
            "track_name": None,
        }
    },
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_create_with_invalid_body_gets_400(body: Any) -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.mux(JOBS, "POST", body), 400)
        assert client.sandbox.request_log.creates == []


async def test_parameters_are_returned_with_defaults() -> None:
    async with sandbox_client() as client:
        optional: dict[str, Any] = {"never_translate": ["Mux"], "track_name": "Español"}
        job = (await client.create("one", **optional)).data
    assert job["parameters"] == {
        "asset_id": "one",
        "track_id": "the-track",
        "to_language_code": "es",
        "upload_to_mux": True,
        **optional,
    }


async def create_jobs(client: SandboxClient, count: int) -> list[str]:
    job_ids = []
    for number in range(count):
        job_ids.append((await client.create(f"a-{number}")).data["id"])
        await asyncio.sleep(1)
    return job_ids


async def test_list_returns_pages_of_summaries() -> None:
    async with sandbox_client() as client:
        ids = await create_jobs(client, 30)
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


async def test_list_filters_by_status_asset_and_workflow() -> None:
    async with sandbox_client() as client:
        await create_jobs(client, 3)
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
            assert_robots_error(await client.mux(f"/robots/v0/jobs?{query}"), 400)


async def test_new_job_is_not_on_the_list_for_list_lag_seconds() -> None:
    async with sandbox_client(list_lag_seconds=5.0) as client:
        created = (await client.create("one")).data["id"]
        assert (await client.get_job(created)).status == 200
        assert (await client.mux("/robots/v0/jobs?asset_id=one")).data == []
        await asyncio.sleep(5)
        (row,) = (await client.mux("/robots/v0/jobs?asset_id=one")).data
    assert row["id"] == created


async def test_cancel_ends_a_job_once() -> None:
    async with sandbox_client() as client:
        stuck = (await client.create("id-stuck")).data["id"]
        cancelled = await client.cancel_job(stuck)
        assert (cancelled.status, cancelled.data["status"]) == (200, "cancelled")
        assert_robots_error(await client.cancel_job(stuck), 409)
        assert_robots_error(await client.mux("/robots/v0/jobs/rjob_none/cancel", "POST"), 404)
        assert (await client.create("id-stuck")).status == 202


async def test_jobs_are_deleted_after_30_days_and_their_tracks_stay() -> None:
    async with sandbox_client() as client:
        job = await client.run_job("one")
        client.sandbox.advance(29 * 86400)
        assert (await client.get_job(job["id"])).status == 200
        client.sandbox.advance(86400)
        assert_robots_error(await client.get_job(job["id"]), 404)
        assert (await client.mux("/robots/v0/jobs")).json == {"data": [], "total_row_count": 0}
        track = job["outputs"]["uploaded_track_id"]
        assert (await client.stream(f"/public_one/text/{track}.vtt")).status == 200


@pytest.mark.parametrize("body", ["json", "html"])
@pytest.mark.parametrize("status", [404, 410])
async def test_retired_version_is_gone_for_every_path(status: int, body: str) -> None:
    async with sandbox_client(robots_v0=f"gone{status}", gone_body=body) as client:
        responses = [
            await client.create("one"),
            await client.get_job("x"),
            await client.mux("/robots/v0/jobs"),
        ]
    assert {response.status for response in responses} == {status}
    assert {response.headers["Content-Type"].startswith("text/html") for response in responses} == {
        body == "html"
    }


async def test_robots_v1_is_not_found() -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.mux("/robots/v1/jobs/translate-captions", "POST", {}), 404)


async def test_assets_of_the_account_are_listed() -> None:
    async with sandbox_client(mux_account=12, mux_ids=("own",)) as client:
        first = (await client.mux("/video/v1/assets?limit=10")).data
        second = (await client.mux("/video/v1/assets?limit=10&page=2")).data
        assert (await client.mux("/video/v1/assets?limit=500")).status == 400
    assert [len(first), len(second)] == [10, 3]
    assert first[0]["id"] == "own"
    assert first[0]["tracks"]
    assert first[0]["playback_ids"]


async def test_assets_cursor_leads_through_the_whole_account() -> None:
    listed, cursor, pages = [], "", 0
    async with sandbox_client(mux_account=25) as client:
        while pages == 0 or cursor:
            page = (await client.mux(f"/video/v1/assets?limit=10&cursor={cursor}")).json
            listed += page["data"]
            cursor, pages = page["next_cursor"], pages + 1
        for wrong in ("12", "after-", "after--1", "before-10"):
            assert (await client.mux(f"/video/v1/assets?cursor={wrong}")).status == 400
    assert pages == 3
    assert len({asset["id"] for asset in listed}) == 25
    assert listed[0]["created_at"] > listed[-1]["created_at"]
    assert listed[0]["meta"]["title"] == f"Video {listed[0]['id']}"
    assert listed[0]["passthrough"].startswith("show-")


async def test_deleted_track_is_gone_from_its_asset() -> None:
    async with sandbox_client() as client:
        job = await client.run_job("one")
        track = job["outputs"]["uploaded_track_id"]
        path = f"/video/v1/assets/one/tracks/{track}"
        assert (await client.mux(path, "GET")).status == 405
        assert (await client.mux(path.replace("one", "two"), "DELETE")).status == 404
        assert (await client.mux(path, "DELETE")).status == 204
        assert (await client.mux(path, "DELETE")).status == 404
        tracks = (await client.mux("/video/v1/assets/one")).data["tracks"]
        assert track not in {shown["id"] for shown in tracks}
        assert (await client.create("one")).status == 202


async def test_strict_ids_limits_assets_to_the_account() -> None:
    async with sandbox_client(strict_ids=True, mux_account=1, mux_ids=("own",)) as client:
        assert (await client.mux("/video/v1/assets/other")).status == 404
        assert_robots_error(await client.create("other"), 422)
        assert_robots_error(await client.create("own", track_id="foreign-track"), 422)
        track = await client.find_track("own")
        assert (await client.create("own", track_id=track)).status == 202


async def test_stream_host_errors_have_status_and_code() -> None:
    async with sandbox_client() as client:
        track = await client.find_track("one")
        assert (await client.stream(f"/public_one/text/{track}.vtt")).status == 200
        for path in (f"/public_one/text/{track}.vt", "/public_one/text", "/x"):
            response = await client.stream(path)
            assert response.status == 400
            assert response.json == {"code": 3, "message": "Invalid parameter"}
        for path in ("/public_one/text/none.vtt", f"/signed_one/text/{track}.vtt"):
            response = await client.stream(path)
            assert (response.status, response.json) == (404, {"code": 5, "message": "Not Found"})
        drm = await client.find_track("id-drm")
        assert (await client.stream(f"/drm_id-drm/text/{drm}.vtt")).status == 403


async def test_signed_playback_id_needs_a_valid_token() -> None:
    key, other_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    options: dict[str, Any] = {
        "mux_signing_key": "kid",
        "mux_signing_public_key": public.decode(),
    }
    async with sandbox_client(**options) as client:
        asset = (await client.mux("/video/v1/assets/id-signed")).data
        assert [playback["policy"] for playback in asset["playback_ids"]] == ["signed"]
        playback_id, track = asset["playback_ids"][0]["id"], await client.find_track("id-signed")
        valid = {"sub": playback_id, "aud": "v", "exp": int(EPOCH) + 3600}

        async def status(signing_key: Any = key, kid: str = "kid", **claims: Any) -> int:
            token = jwt.encode({**valid, **claims}, signing_key, "RS256", headers={"kid": kid})
            response = await client.stream(f"/{playback_id}/text/{track}.vtt?token={token}")
            return response.status

        assert await status() == 200
        assert await status(kid="other") == 403
        assert await status(sub="other") == 403
        assert await status(aud="t") == 403
        assert await status(exp=int(EPOCH) - 1) == 403
        assert await status(signing_key=other_key) == 403
        assert (await client.stream(f"/{playback_id}/text/{track}.vtt")).status == 403
        assert (await client.stream(f"/{playback_id}/text/{track}.vtt?token=a.b.c")).status == 403


def test_every_keyword_has_a_description() -> None:
    assert all(MUX_KEYWORDS.values())
