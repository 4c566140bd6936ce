"""Text tracks that are in the way of a new one: when a job is created, and when it uploads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.sandbox.client import SandboxClient, sandbox_client
from tests.sandbox.test_mux import assert_robots_error

pytestmark = pytest.mark.anyio

JOBS_OF_10_S: dict[str, Any] = {"job_sigma": 0.0, "job_seconds": 10.0, "job_seconds_max": 10.0}


async def text_tracks(client: SandboxClient, asset_id: str) -> dict[str, Any]:
    """Return the text tracks of an asset by id."""
    tracks = (await client.mux(f"/video/v1/assets/{asset_id}")).data["tracks"]
    return {track["id"]: track for track in tracks if track["type"] == "text"}


async def test_existing_track_in_target_language_gets_422_unless_replaceable() -> None:
    async with sandbox_client() as client:
        message = assert_robots_error(await client.create("id-has-es"), 422)
        assert "exists" in message
        rule = "replace_generated"
        assert_robots_error(await client.create("id-has-es", replace_existing_tracks=rule), 422)
        await client.run_job("id-has-es", replace_existing_tracks="replace_all")
        tracks = (await client.mux("/video/v1/assets/id-has-es")).data["tracks"]
        assert [track.get("language_code") for track in tracks].count("es") == 1
        assert_robots_error(await client.create("one", replace_existing_tracks="replace"), 400)
        assert_robots_error(await client.create("one", track_name="English"), 422)


async def test_uploaded_track_makes_the_next_create_get_422() -> None:
    async with sandbox_client() as client:
        await client.run_job("one")
        assert_robots_error(await client.create("one"), 422)
        assert (await client.create("one", "ja")).status == 202


SIBLINGS = [
    *(("pt-BR", "pt-PT"), ("zh-Hans", "zh-Hant"), ("es", "es-419"), ("ES", "es")),
    *(("ita", "it"), ("ja", "jpn-JP"), ("swe", "sv-SE")),
]


@pytest.mark.parametrize(("first", "second"), SIBLINGS)
async def test_create_for_a_sibling_language_gets_422_unless_it_uploads_nothing(
    first: str, second: str
) -> None:
    async with sandbox_client() as client:
        job = await client.run_job("one", first)
        assert_robots_error(await client.create("one", second), 422)
        tracks = (await client.mux("/video/v1/assets/one")).data["tracks"]
        uploaded = job["outputs"]["uploaded_track_id"]
        name = next(track["name"] for track in tracks if track["id"] == uploaded)
        name = f" {name.swapcase()} "
        assert_robots_error(await client.create("one", "ja", track_name=name), 422)
        assert (await client.create("one", second, upload_to_mux=False)).status == 202


async def test_create_for_the_language_of_a_preparing_track_gets_422() -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.create("id-preparing", "en-GB", track_id="t"), 422)


async def test_completed_job_that_replaced_tracks_lists_them() -> None:
    async with sandbox_client() as client:
        old = await client.find_track("id-has-pt-BR", "pt-BR")
        job = await client.run_job("id-has-pt-BR", "pt-PT", replace_existing_tracks="replace_all")
    assert job["outputs"]["replaced_tracks"] == [{"id": old}]


@pytest.mark.parametrize("keyword", ["has", "generated", "errored", "deleted"])
async def test_track_of_any_status_and_source_is_in_the_way(keyword: str) -> None:
    async with sandbox_client() as client:
        assert_robots_error(await client.create(f"id-{keyword}-pt-BR", "pt-PT"), 422)
        assert (await client.create(f"id-{keyword}-pt-BR", "es")).status == 202


async def test_replace_generated_replaces_only_what_mux_generated() -> None:
    async with sandbox_client() as client:
        old = await client.find_track("id-generated-es", "es")
        rule = "replace_generated"
        job = await client.run_job("id-generated-es", "es-419", replace_existing_tracks=rule)
        assert old not in await text_tracks(client, "id-generated-es")
        assert_robots_error(await client.create("id-errored-es", replace_existing_tracks=rule), 422)
    assert job["outputs"]["replaced_tracks"] == [{"id": old}]


NAMES = {
    "es": "Spanish (Auto-translated)",
    "pt-BR": "Portuguese (Brazil) (Auto-translated)",
    "zh-Hant": "Chinese (Traditional) (Auto-translated)",
    "tlh": "tlh (Auto-translated)",
}


@pytest.mark.parametrize("language", NAMES)
async def test_uploaded_track_is_named_after_its_language(language: str) -> None:
    async with sandbox_client() as client:
        job = await client.run_job("one", language)
        track = (await text_tracks(client, "one"))[job["outputs"]["uploaded_track_id"]]
    assert (track["name"], track["language_code"]) == (NAMES[language], language)


async def run_siblings(client: SandboxClient) -> list[Any]:
    """Start a second job for one language a second after the first; return both when ended."""
    first = await client.create("one", "pt-BR")
    await asyncio.sleep(1)
    second = await client.create("one", "pt-PT")
    assert first.status == second.status == 202
    await asyncio.sleep(60)
    return [(await client.get_job(job.data["id"])).data for job in (first, second)]


async def test_second_of_two_racing_jobs_ends_errored_at_its_upload() -> None:
    async with sandbox_client(**JOBS_OF_10_S) as client:
        first, second = await run_siblings(client)
        tracks = await text_tracks(client, "one")
    assert (first["status"], second["status"]) == ("completed", "errored")
    assert second["errors"]
    assert second["units_consumed"] == 0
    assert len(tracks) == 2
    assert first["outputs"]["uploaded_track_id"] in tracks


async def test_second_of_two_racing_jobs_once_completed_without_a_track() -> None:
    async with sandbox_client(**JOBS_OF_10_S, upload_conflict="no_track") as client:
        first, second = await run_siblings(client)
        tracks = await text_tracks(client, "one")
    assert first["status"] == second["status"] == "completed"
    assert second["units_consumed"]
    assert "uploaded_track_id" not in second["outputs"]
    assert len(tracks) == 2


async def test_job_that_ends_first_uploads_even_if_it_was_created_second() -> None:
    async with sandbox_client(job_seconds=10.0, job_seconds_max=60.0, job_sigma=1.5) as client:
        for number in range(20):
            asset_id = f"film-{number}"
            created = [await client.create(asset_id, tag) for tag in ("pt-BR", "pt-PT")]
            ends = {job.id: job.ends for job in client.sandbox.request_log.creates[-2:]}
            await asyncio.sleep(130)
            jobs = [(await client.get_job(output.data["id"])).data for output in created]
            (winner,) = (job["id"] for job in jobs if job["status"] == "completed")
            assert winner == min(ends, key=lambda job_id: ends[job_id] or 0.0)


async def test_cancel_of_the_first_of_two_racing_jobs_lets_the_second_upload() -> None:
    async with sandbox_client(**JOBS_OF_10_S) as client:
        first = (await client.create("one", "pt-BR")).data["id"]
        second = (await client.create("one", "pt-PT")).data["id"]
        assert (await client.cancel_job(first)).status == 200
        await asyncio.sleep(60)
        assert (await client.get_job(second)).data["status"] == "completed"


async def test_later_of_two_jobs_that_replace_all_destroys_the_track_of_the_first() -> None:
    async with sandbox_client(**JOBS_OF_10_S) as client:
        rule = "replace_all"
        first = (await client.create("one", "pt-BR", replace_existing_tracks=rule)).data["id"]
        await asyncio.sleep(1)
        second = (await client.create("one", "pt-PT", replace_existing_tracks=rule)).data["id"]
        await asyncio.sleep(60)
        outputs = [(await client.get_job(job_id)).data["outputs"] for job_id in (first, second)]
        tracks = await text_tracks(client, "one")
    lost, present = (output["uploaded_track_id"] for output in outputs)
    assert outputs[1]["replaced_tracks"] == [{"id": lost}]
    assert present in tracks
    assert lost not in tracks
