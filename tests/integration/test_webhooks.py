"""Whole runs with webhooks on virtual time: what events save, and that no row depends on them.

The engine, its receiver, the sandbox that sends and the ledger run in one event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import orjson
import pytest
from aiohttp import web

from batchcap.domain.events import Warned, WebhookReceived
from batchcap.domain.models import Row
from batchcap.domain.shutdown import ShutdownToken
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.caption_text import make_webvtt
from batchcap.sandbox.heygen.videos import find_end, language_of
from batchcap.webhooks.inbox import Inbox, inbox_path
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.rows import VTT, heygen_row, mux_row
from tests.harness.runs import ANY_PORT, RunResult, register_webhooks, run_rows
from tests.harness.servers import http_server
from tests.harness.webhooks import (
    SECRETS,
    heygen_event,
    heygen_headers,
    mux_event,
    mux_headers,
    mux_job,
    running_receiver,
)

pytestmark = pytest.mark.anyio

RATES = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
PACED: dict[str, Any] = {"rates": RATES}
"""Settings of a run with the documented rate limits."""

REALISTIC = {"job_seconds": 180.0, "job_sigma": 0.75, "job_seconds_max": 1800.0}
STEADY = {"job_sigma": 0.01, "job_seconds_max": 600.0}
QUICK = {**STEADY, "job_seconds": 1.0}
"""Options for jobs that end before the poller would first poll them."""

CATCH_UP_LIMIT = 120.0
"""Maximum seconds from the end of a job whose event was lost to its caption on disk. A sweep
comes at least every 40 s; then the caption has to be downloaded."""


def sandbox_options(**fields: Any) -> SandboxOptions:
    """Return options with the documented limits, the loop's clock and the secrets of the tests."""
    return SandboxOptions.documented(
        **{
            "epoch": now(),
            "caption_bytes": 500,
            "webhook_secret_mux": SECRETS["MUX_WEBHOOK_SECRET"],
            "webhook_secret_heygen": SECRETS["HEYGEN_WEBHOOK_SECRET"],
            **fields,
        }
    )


def films(count: int) -> list[Row]:
    """Return rows with a track id, so that a create takes one request."""
    return [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(count)]


def clips(count: int) -> list[Row]:
    return [heygen_row(f"clip-{n}") for n in range(count)]


async def run_with_webhooks(
    sandbox: Sandbox, out: Path, rows: list[Row], **changes: Any
) -> RunResult:
    """Run with the documented limits and a receiver that the sandbox sends to."""
    settings = {
        "on_listening": register_webhooks(sandbox),
        "listening": ANY_PORT,
        **PACED,
        **changes,
    }
    return await run_rows(sandbox, out, rows, **settings)


def count_mux_reads(sandbox: Sandbox) -> int:
    """Return the number of requests to Mux other than creates."""
    return sum(request.bucket == "mux.read" for request in sandbox.request_log.requests)


def polls_per_job(sandbox: Sandbox, provider: str = "mux") -> list[int]:
    """Return how often each job or translation was requested on its own."""
    route = {"mux": "mux.job", "heygen": "heygen.v3.video"}[provider]
    requests = sandbox.request_log.requests
    return list(Counter(request.key for request in requests if request.route == route).values())


def delays(sandbox: Sandbox, run_result: RunResult) -> list[float]:
    """Return the seconds from each job's end to its row's end, sorted."""
    creates = sandbox.request_log.document(now())["creates"]
    ended = {job["job_id"]: job["ended"] for job in creates}
    # Rounded, because the ledger's times have whole milliseconds.
    return sorted(
        round(finished_at(result) - ended[result["job_id"]], 1) for result in run_result.results
    )


def finished_at(result: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(result["finished_at"]).timestamp()


def assert_done(sandbox: Sandbox, out: Path, run_result: RunResult) -> None:
    """Check that every row has its caption, byte by byte, and that none was paid for twice."""
    assert run_result.fatal == []
    assert set(run_result.states().values()) == {"done"}, Counter(run_result.states().values())
    paid = [(job.request.asset_id, job.request.language) for job in sandbox.request_log.creates]
    assert len(paid) == len(set(paid))
    for result in run_result.results:
        language = result["language"] or language_of(result["source_id"])
        caption = make_webvtt(result["source_id"], language, sandbox.options.caption_bytes)
        assert (out / result["path"]).read_bytes() == caption
    assert sandbox.request_log.leaks == []


async def send_event(url: str, event: Any, headers: Mapping[str, str] | None = None) -> int:
    """Send an event, signed unless headers are given; returns the status."""
    body = orjson.dumps(event)
    if headers is None:
        headers = heygen_headers(body) if url.endswith("heygen") else mux_headers(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        await response.read()
        return response.status


Disturb = Callable[[Mapping[str, str]], Coroutine[Any, Any, None]]


async def run_disturbed(
    sandbox: Sandbox, out: Path, rows: list[Row], disturb: Disturb, **changes: Any
) -> RunResult:
    """Run with webhooks, and call `disturb` beside it with the endpoints."""
    async with anyio.create_task_group() as group:

        async def on_listening(endpoints: Mapping[str, str]) -> None:
            group.start_soon(disturb, endpoints)

        options = {"on_listening": on_listening, **changes}
        result = await run_with_webhooks(sandbox, out, rows, **options)
        group.cancel_scope.cancel()
    return result


async def wait_for_creates(sandbox: Sandbox, count: int = 1) -> list[str]:
    """Wait until `count` jobs were created, and return their ids."""
    while len(sandbox.request_log.creates) < count:  # noqa: ASYNC110  # the sandbox has no event for it
        await anyio.sleep(0.2)
    return [job.id for job in sandbox.request_log.creates]


# What webhooks save


async def test_mux_run_with_webhooks_takes_one_create_and_few_reads_per_caption(
    tmp_path: Path,
) -> None:
    """With 300 rows, the sweeps before the first event and between events weigh more than in a
    long run, where a caption takes 1.14 requests in all (`benchmarks webhooks`)."""
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(300))
        assert_done(sandbox, tmp_path, result)
        assert result.metrics.requests["mux.write"] == 300
        assert count_mux_reads(sandbox) <= 0.25 * 300
        assert result.metrics.webhooks["mux"] == 900
        assert delays(sandbox, result)[-1] < 1


@pytest.mark.parametrize("names", ["v0", "v1"])
@pytest.mark.parametrize("nested", [False, "mixed"])
async def test_link_in_completed_event_is_downloaded_without_a_poll(
    tmp_path: Path, names: str, nested: bool | str
) -> None:
    options = sandbox_options(**QUICK, webhook_names=names, webhook_nested=nested)
    async with Sandbox(options) as sandbox:
        run_result = await run_with_webhooks(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, run_result)
        assert count_mux_reads(sandbox) == 0
    assert all(result["error"] is None for result in run_result.results)


async def test_completed_event_without_outputs_causes_one_poll(
    tmp_path: Path,
) -> None:
    async with Sandbox(sandbox_options(**QUICK, webhook_outputs=False)) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, result)
        assert polls_per_job(sandbox) == [1] * 20
        assert count_mux_reads(sandbox) == 20


async def test_completed_event_with_track_only_downloads_the_track(
    tmp_path: Path,
) -> None:
    async with Sandbox(sandbox_options(**QUICK, faults={"missing_link": 1.0})) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(10))
        assert_done(sandbox, tmp_path, result)
        assert sandbox.request_log.count("stream.track") >= 10


async def test_failed_event_settles_the_row_without_a_poll(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{keyword}-1") for keyword in ("failsforever", "cancelled")]
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        rows = [
            msgspec.structs.replace(row, params={"track_id": f"{row.source_id}-en"}) for row in rows
        ]
        result = await run_with_webhooks(sandbox, tmp_path, rows)
        assert count_mux_reads(sandbox) == 0
    assert list(result.states().values()) == ["job_failed", "job_cancelled"]
    assert "invalid_input" in result.results[0]["error"]["message"]


async def test_events_of_a_retried_job_settle_the_row(tmp_path: Path) -> None:
    films = [f"film-failsonce-{n}" for n in range(10)]
    rows = [mux_row(film, track_id=f"{film}-en") for film in films]
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, rows, retry_jobs=1)
        assert count_mux_reads(sandbox) == 0
        assert [len(sandbox.request_log.creates_for(film, "es")) for film in films] == [2] * 10
    assert set(result.states().values()) == {"done"}


async def test_heygen_event_causes_one_poll(tmp_path: Path) -> None:
    options = sandbox_options(heygen_running=1.0, heygen_finish_seconds=600.0)
    async with Sandbox(options) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, clips(100))
        assert_done(sandbox, tmp_path, result)
        assert polls_per_job(sandbox, "heygen") == [1] * 100
        requests = result.metrics.requests["heygen"]
    async with Sandbox(options) as sandbox:
        polled = await run_rows(sandbox, tmp_path / "polled", clips(100), **PACED)
    assert requests < polled.metrics.requests["heygen"]


async def test_heygen_preflight_event_causes_the_poll_that_ends_its_row(tmp_path: Path) -> None:
    """Without the event, the row would be polled later than it is."""
    options = sandbox_options(heygen_finish_seconds=301.0)
    row = heygen_row("id-preflight")
    async with Sandbox(options) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, [row])
        ended_at = video_end_times(sandbox)["id-preflight"]
    assert result.states() == {row.key: "job_failed"}
    assert result.results[0]["error"]["message"] == "Failed to download video from url."
    assert finished_at(result.results[0]) - ended_at < 1.0


async def test_heygen_event_is_passed_on_once_by_its_id_and_again_by_another(
    tmp_path: Path,
) -> None:
    """A replay with another id, which is not signed, costs a poll and settles nothing."""
    row = heygen_row("id-stuck")
    event = heygen_event(row.source_id)
    reads: list[int] = []

    async def disturb(endpoints: Mapping[str, str]) -> None:
        await anyio.sleep(5)
        for event_id in ("evt_1", "evt_1", "evt_2"):
            headers = heygen_headers(orjson.dumps(event)) | {"Heygen-Event-Id": event_id}
            assert await send_event(endpoints["heygen"], event, headers) == 200
            await anyio.sleep(1)
            reads.append(sandbox.request_log.count("heygen.v3.video"))

    async with Sandbox(sandbox_options()) as sandbox:
        result = await run_disturbed(sandbox, tmp_path, [row], disturb)
    assert reads == [reads[0], reads[0], reads[0] + 1]
    assert result.states() == {row.key: "job_timeout"}


# What events never do


async def test_heygen_success_event_alone_settles_no_row(tmp_path: Path) -> None:
    """Events report "success" for every row; only a poll shows how each ended."""
    keywords = ("stuck", "failed", "slow", "nocaption")
    rows = [heygen_row(f"id-{keyword}-1") for keyword in keywords]

    async def disturb(endpoints: Mapping[str, str]) -> None:
        await anyio.sleep(5)
        for row in rows:
            assert await send_event(endpoints["heygen"], heygen_event(row.source_id)) == 200

    async with Sandbox(sandbox_options(heygen_finish_seconds=300.0)) as sandbox:
        result = await run_disturbed(sandbox, tmp_path, rows, disturb)
    states = ["job_timeout", "job_failed", "done", "captions_not_enabled"]
    assert list(result.states().values()) == states


@pytest.mark.parametrize(("longest", "event_at"), [(900.0, 400.0), (6000.0, 4000.0)])
async def test_translation_with_premature_event_is_polled_as_without_webhooks(
    tmp_path: Path, longest: float, event_at: float
) -> None:
    """There will be no second event. Measured: at most 32 s late."""
    options = sandbox_options(heygen_running=1.0, heygen_finish_seconds=longest)
    early: set[str] = set()
    async with Sandbox(options) as sandbox:

        async def disturb(endpoints: Mapping[str, str]) -> None:
            sandbox.change(heygen_webhook_url=endpoints["heygen"])
            await anyio.sleep(event_at)
            ends = video_end_times(sandbox)
            early.update(video_id for video_id, end in ends.items() if end > now() + 300)
            for video_id in early:
                assert await send_event(endpoints["heygen"], heygen_event(video_id)) == 200

        run_result = await run_disturbed(sandbox, tmp_path, clips(100), disturb)
        assert_done(sandbox, tmp_path, run_result)
        ends = video_end_times(sandbox)
    waited = [
        finished_at(result) - ends[result["source_id"]]
        for result in run_result.results
        if result["source_id"] in early
    ]
    assert len(waited) > 5
    assert min(waited) > -0.01
    assert max(waited) < 65


def video_end_times(sandbox: Sandbox) -> dict[str, float]:
    """Return the end of each translation that was running at its first request."""
    world = sandbox._world  # the request log has only the videos that have ended
    ends = {video_id: find_end(world, video_id) for video_id in world.first_requested}
    return {video_id: end.time for video_id, end in ends.items() if end is not None}


@pytest.mark.parametrize("forged", ["unsigned", "other_secret", "old", "changed"])
async def test_mux_event_with_bad_signature_is_refused_and_settles_nothing(
    tmp_path: Path, forged: str
) -> None:
    hits = 0

    async def serve_forged_caption(request: web.Request) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(body=VTT)

    recorder = Recorder()
    async with (
        http_server(serve_forged_caption) as url,
        Sandbox(sandbox_options(**{**QUICK, "job_seconds": 120.0})) as sandbox,
    ):

        async def disturb(endpoints: Mapping[str, str]) -> None:
            for job_id in await wait_for_creates(sandbox, 3):
                outputs = {"temporary_vtt_url": f"{url}/evil.vtt"}
                event = mux_event(data=mux_job(job_id, outputs=outputs), id=job_id)
                body = orjson.dumps(event)
                headers = {
                    "unsigned": {},
                    "other_secret": mux_headers(body, "other secret"),
                    "old": mux_headers(body, at=now() - 301),
                    "changed": mux_headers(body + b" "),
                }[forged]
                assert await send_event(endpoints["mux"], event, headers) == 401

        result = await run_disturbed(sandbox, tmp_path, films(3), disturb, observer=recorder)
        assert_done(sandbox, tmp_path, result)
        assert delays(sandbox, result)[0] >= 0
    assert hits == 0
    assert result.metrics.webhooks_refused["mux"] == 3
    (warning,) = [event.message for event in recorder.of(Warned) if "signature" in event.message]
    assert "MUX_WEBHOOK_SECRET" in warning


@pytest.mark.parametrize("with_track", [True, False])
async def test_unsigned_event_never_contributes_a_link(tmp_path: Path, with_track: bool) -> None:
    """Without a secret all events are untrusted, on loopback too."""
    hits = 0

    async def serve_forged_caption(request: web.Request) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(body=VTT)

    async with (
        http_server(serve_forged_caption) as url,
        Sandbox(sandbox_options(**{**QUICK, "job_seconds": 60.0})) as sandbox,
    ):

        async def disturb(endpoints: Mapping[str, str]) -> None:
            for job_id in await wait_for_creates(sandbox, 3):
                outputs = {"temporary_vtt_url": f"{url}/evil.vtt"}
                outputs |= {"uploaded_track_id": "film-0-en"} if with_track else {}
                event = mux_event(data=mux_job(job_id, outputs=outputs), id=job_id)
                assert await send_event(endpoints["mux"], event, {}) == 200
            sandbox.change(mux_webhook_url=endpoints["mux"])

        result = await run_disturbed(
            sandbox,
            tmp_path,
            films(3),
            disturb,
            environment=dict.fromkeys(SECRETS, ""),
            listening=msgspec.structs.replace(ANY_PORT, insecure=True),
        )
        assert_done(sandbox, tmp_path, result)
        assert delays(sandbox, result)[0] >= 0
        assert min(polls_per_job(sandbox)) >= 2, "one for the forged event, one for the real one"
    assert hits == 0


async def test_processing_events_do_not_extend_the_job_timeout(tmp_path: Path) -> None:
    rows = [mux_row("film-stuck-1", track_id="film-stuck-1-en")]

    async def disturb(endpoints: Mapping[str, str]) -> None:
        (job_id,) = await wait_for_creates(sandbox)
        for number in range(1000):
            event = mux_event("processing", mux_job(job_id, "processing"), id=str(number))
            assert await send_event(endpoints["mux"], event) == 200
            await anyio.sleep(20)

    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        start = clock()
        result = await run_disturbed(sandbox, tmp_path, rows, disturb, job_timeout=600.0)
        assert clock() - start < 600 + 120
    assert list(result.states().values()) == ["job_timeout"]


# Lost events


@pytest.mark.parametrize("lost", [0.1, 0.5])
async def test_jobs_with_lost_events_are_polled(tmp_path: Path, lost: float) -> None:
    async with Sandbox(sandbox_options(**REALISTIC, faults={"webhook_lost": lost})) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(200))
        assert_done(sandbox, tmp_path, result)
        waited = delays(sandbox, result)
    assert sandbox.request_log.faults["webhook_lost"] > 20
    assert waited[int((1 - lost) * 200) - 20] < 1
    assert waited[-1] < CATCH_UP_LIMIT


async def test_run_with_all_events_lost_equals_polling(tmp_path: Path) -> None:
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:
        polled = await run_rows(sandbox, tmp_path / "polled", films(100), **PACED)
        polled_reads, polled_delays = count_mux_reads(sandbox), delays(sandbox, polled)
    async with Sandbox(sandbox_options(**REALISTIC, faults={"webhook_lost": 1.0})) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(100))
        assert_done(sandbox, tmp_path, result)
        assert result.metrics.webhooks == {}
        assert abs(count_mux_reads(sandbox) - polled_reads) <= 0.1 * polled_reads
        assert delays(sandbox, result)[-1] == pytest.approx(polled_delays[-1], abs=30)


@pytest.mark.parametrize("after", [150.0, 320.0, 600.0])
async def test_run_whose_events_stop_is_caught_up_by_polling(tmp_path: Path, after: float) -> None:
    """They stop while rows are created, after the last create, and when few rows are left.

    Measured with three seeds: the last caption is 22 to 59 s late, as with polling.
    """
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:

        async def disturb(endpoints: Mapping[str, str]) -> None:
            sandbox.change(mux_webhook_url=endpoints["mux"])
            await anyio.sleep(after)
            sandbox.change(mux_webhook_url="")

        result = await run_disturbed(sandbox, tmp_path, films(300), disturb)
        assert_done(sandbox, tmp_path, result)
        assert result.metrics.webhooks["mux"] < 900
        assert delays(sandbox, result)[-1] < 120


async def test_stopped_run_resumes_at_another_endpoint(tmp_path: Path) -> None:
    """Events sent while no run listens arrive late or never; no caption is paid for twice."""
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:
        for after in (100.0, 150.0):
            stop = ShutdownToken()
            asyncio.get_running_loop().call_later(after, stop.request)
            stopped = await run_with_webhooks(sandbox, tmp_path, films(300), stop=stop)
            assert "pending" in stopped.states().values()
            await anyio.sleep(60)  # no endpoint listens
        result = await run_with_webhooks(sandbox, tmp_path, films(300))
        assert_done(sandbox, tmp_path, result)
        assert len(sandbox.request_log.creates) == 300
        assert sandbox.request_log.webhooks["mux", "retried"] > 20


# Duplicate, reordered and foreign events


@pytest.mark.parametrize(
    "fault", ["webhook_duplicate", "webhook_reordered", "webhook_foreign", "webhook_bad_signature"]
)
async def test_delivery_fault_causes_no_poll_and_no_lost_caption(
    tmp_path: Path, fault: str
) -> None:
    options = sandbox_options(
        **QUICK, faults={fault: 1.0}, webhook_late_seconds=0.2, webhook_retry=0.3
    )
    recorder = Recorder()
    async with Sandbox(options) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(70), observer=recorder)
        assert_done(sandbox, tmp_path, result)
        assert count_mux_reads(sandbox) <= 2  # a sweep may run before a late event arrives
        assert sandbox.request_log.faults[fault] >= 70
    refused = result.metrics.webhooks_refused["mux"]
    assert refused >= 2 * 70 if fault == "webhook_bad_signature" else not refused
    warnings = recorder.of(Warned)
    assert len(warnings) <= (2 if refused else 0), "at most one a minute"


async def test_events_before_the_create_response_are_not_lost(
    tmp_path: Path,
) -> None:
    async with Sandbox(sandbox_options(**QUICK, answer_seconds=3.0)) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, result)
        assert count_mux_reads(sandbox) == 0


async def test_completed_event_before_pending_one_settles_the_row(tmp_path: Path) -> None:
    async with Sandbox(sandbox_options(**{**QUICK, "job_seconds": 30.0})) as sandbox:

        async def disturb(endpoints: Mapping[str, str]) -> None:
            job_id = (await wait_for_creates(sandbox))[0]
            await anyio.sleep(31)
            link = sandbox.url + sandbox._world.links.storage_link(
                sandbox.request_log.creates[0], 86400
            )
            for status in ("completed", "processing", "pending"):
                outputs = {"outputs": {"temporary_vtt_url": link}} if status == "completed" else {}
                event = mux_event(status, mux_job(job_id, status, **outputs), id=status)
                assert await send_event(endpoints["mux"], event) == 200

        result = await run_disturbed(sandbox, tmp_path, films(50), disturb)
        assert_done(sandbox, tmp_path, result)


async def test_events_of_done_rows_and_other_runs_change_nothing(
    tmp_path: Path,
) -> None:
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        others = await run_rows(sandbox, tmp_path / "other", films(5), **PACED)
        assert_done(sandbox, tmp_path / "other", others)
        before = count_mux_reads(sandbox)

        async def disturb(endpoints: Mapping[str, str]) -> None:
            sandbox.change(mux_webhook_url=endpoints["mux"])
            ended_ids = await wait_for_creates(sandbox, 10)
            await anyio.sleep(3)
            for number in range(8):
                for job_id in [*ended_ids, "rjob_unknown"]:
                    event = mux_event(data=mux_job(job_id), id=f"{job_id} {number}")
                    assert await send_event(endpoints["mux"], event) == 200
                await anyio.sleep(1)

        rows = [mux_row(f"other-{n}", track_id=f"other-{n}-en") for n in range(20)]
        result = await run_disturbed(sandbox, tmp_path, rows, disturb)
        assert_done(sandbox, tmp_path, result)
        assert count_mux_reads(sandbox) == before
        assert result.metrics.webhooks["mux"] == 20 * 3 + 8 * 11


# Links in events


async def test_expired_link_in_event_causes_a_poll(tmp_path: Path) -> None:
    async with Sandbox(sandbox_options(**QUICK, faults={"expired_link": 1.0})) as sandbox:
        result = await run_with_webhooks(sandbox, tmp_path, films(10))
        assert_done(sandbox, tmp_path, result)
        assert min(polls_per_job(sandbox)) >= 1
        assert sandbox.request_log.faults["expired_link"] >= 10


async def test_premature_signed_event_does_not_fail_its_row(tmp_path: Path) -> None:
    """Its link does not work, and a poll shows that the job is running: the row keeps waiting."""
    async with Sandbox(sandbox_options(**{**QUICK, "job_seconds": 100.0})) as sandbox:

        async def disturb(endpoints: Mapping[str, str]) -> None:
            for job_id in await wait_for_creates(sandbox, 3):
                outputs = {"temporary_vtt_url": f"{sandbox.url}/storage/nothing?X-Goog-Signature=0"}
                event = mux_event(data=mux_job(job_id, outputs=outputs), id=job_id)
                assert await send_event(endpoints["mux"], event) == 200
            sandbox.change(mux_webhook_url=endpoints["mux"])

        run_result = await run_disturbed(sandbox, tmp_path, films(3), disturb)
        assert_done(sandbox, tmp_path, run_result)
        assert delays(sandbox, run_result)[0] >= 0
        assert {result["job_id"] for result in run_result.results} == set(
            await wait_for_creates(sandbox, 3)
        )


@pytest.mark.parametrize(
    "link",
    [
        "http://10.0.0.7/x.vtt",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:192.168.0.1]/x.vtt",
        "https://[64:ff9b::a00:1]/x.vtt",
        "file:///etc/passwd",
        "https:///x.vtt",
    ],
)
async def test_link_to_non_public_address_in_signed_event_is_refused(
    tmp_path: Path, link: str
) -> None:
    async with Sandbox(sandbox_options(**{**QUICK, "job_seconds": 1000.0})) as sandbox:

        async def disturb(endpoints: Mapping[str, str]) -> None:
            (job_id,) = await wait_for_creates(sandbox)
            event = mux_event(data=mux_job(job_id, outputs={"temporary_vtt_url": link}))
            assert await send_event(endpoints["mux"], event) == 200

        result = await run_disturbed(sandbox, tmp_path, films(1), disturb)
    assert list(result.states().values()) == ["link_dead"]
    assert not list(tmp_path.rglob("*.vtt"))


# One inbox for several runs


@asynccontextmanager
async def running_inbox(folder: Path, sandbox: Sandbox) -> AsyncIterator[Path]:
    """Run the receiver and the inbox of `batchcap listen`; the sandbox sends to it."""
    home = folder / "batchcap"
    with Inbox(home, executor=None, now=now) as inbox:
        async with running_receiver(inbox.store) as harness:
            urls = harness.receiver.endpoints()
            await register_webhooks(sandbox)(urls)
            yield home
            await register_webhooks(sandbox)(dict.fromkeys(urls, ""))


async def run_with_inbox(
    sandbox: Sandbox, out: Path, rows: list[Row], state: Path, **more: Any
) -> RunResult:
    """Run without a receiver of its own, on a machine with an inbox."""
    environment = {"XDG_STATE_HOME": str(state)}
    return await run_rows(sandbox, out, rows, environment, simulated=False, **{**PACED, **more})


async def test_two_runs_with_one_inbox_poll_less(tmp_path: Path) -> None:
    """Measured: 1.8 reads a caption, of which one is for the link, which no inbox stores. Polling
    takes 3.2. With 300 rows a run: 1.1 and 1.9."""
    counts = []
    for name in ("with_inbox", "without_inbox"):
        async with Sandbox(
            sandbox_options(**REALISTIC, mux_write_rate=None, mux_read_rate=None)
        ) as sandbox:
            async with running_inbox(tmp_path / "state", sandbox):
                state = tmp_path / ("state" if name == "with_inbox" else "nothing")

                async def run_part(
                    part: str, sandbox: Sandbox = sandbox, name: str = name, state: Path = state
                ) -> None:
                    rows = [mux_row(f"{part}-{n}", track_id=f"{part}-{n}-en") for n in range(100)]
                    out = tmp_path / name / part
                    run_result = await run_with_inbox(sandbox, out, rows, state)
                    assert_done(sandbox, out, run_result)
                    assert len({result["job_id"] for result in run_result.results}) == 100

                async with anyio.create_task_group() as group:
                    group.start_soon(run_part, "a")
                    group.start_soon(run_part, "b")
            counts.append(count_mux_reads(sandbox) / 200)
    assert 1 <= counts[0] < 0.75 * counts[1]


async def test_run_started_after_the_events_uses_them(tmp_path: Path) -> None:
    async with Sandbox(sandbox_options(**{**QUICK, "job_seconds": 60.0})) as sandbox:
        stop = ShutdownToken()
        asyncio.get_running_loop().call_later(40, stop.request)
        async with running_inbox(tmp_path / "state", sandbox):
            first = await run_with_inbox(
                sandbox, tmp_path / "a", films(30), tmp_path / "state", stop=stop
            )
            assert list(first.states().values()).count("pending") == 30
            await anyio.sleep(200)
        before = count_mux_reads(sandbox)
        result = await run_with_inbox(sandbox, tmp_path / "a", [], tmp_path / "state")
        assert_done(sandbox, tmp_path / "a", result)
        assert count_mux_reads(sandbox) - before <= 32


def delete_files(home: Path) -> None:
    for path in home.iterdir():
        path.unlink()


def damage_files(home: Path) -> None:
    for path in home.iterdir():
        path.write_bytes(b"this is not a database, " * 1000)


def set_other_version(home: Path) -> None:
    with closing(sqlite3.connect(inbox_path(home))) as connection:
        connection.execute("DROP TABLE events")
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("harm", [delete_files, damage_files, set_other_version])
async def test_run_whose_inbox_breaks_continues_by_polling(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    recorder = Recorder()
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:
        async with running_inbox(tmp_path / "state", sandbox) as home:

            async def break_inbox() -> None:
                await anyio.sleep(200)
                await register_webhooks(sandbox)({"mux": ""})
                harm(home)

            async with anyio.create_task_group() as group:
                group.start_soon(break_inbox)
                result = await run_with_inbox(
                    sandbox, tmp_path, films(200), tmp_path / "state", observer=recorder
                )
        assert_done(sandbox, tmp_path, result)
        assert delays(sandbox, result)[-1] < CATCH_UP_LIMIT
    warnings = [event for event in recorder.of(Warned) if "inbox" in event.message]
    assert len(warnings) == (harm is not delete_files)


async def test_old_event_of_a_running_job_causes_a_poll_only(
    tmp_path: Path,
) -> None:
    """The sandbox's ids are the same in every run, so an old inbox has events of today's jobs."""
    rows = films(30)
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        async with running_inbox(tmp_path / "state", sandbox):
            await run_with_inbox(sandbox, tmp_path / "a", rows, tmp_path / "state")
        ids = {job.id for job in sandbox.request_log.creates}
    async with Sandbox(sandbox_options(**{**QUICK, "job_seconds": 200.0})) as sandbox:
        result = await run_with_inbox(sandbox, tmp_path / "b", rows, tmp_path / "state")
        assert {job.id for job in sandbox.request_log.creates} == ids
        assert_done(sandbox, tmp_path / "b", result)
        assert delays(sandbox, result)[0] >= 0
        assert delays(sandbox, result)[-1] < 65


# The receiver beside a run


async def test_receiver_listens_from_before_the_first_create_to_the_last_row(
    tmp_path: Path,
) -> None:
    urls: dict[str, str] = {}
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:

        async def on_listening(endpoints: Mapping[str, str]) -> None:
            urls.update(endpoints)
            assert sandbox.request_log.requests == []
            await register_webhooks(sandbox)(endpoints)

        rows = [*films(5), *clips(5)]
        result = await run_with_webhooks(sandbox, tmp_path, rows, on_listening=on_listening)
        assert_done(sandbox, tmp_path, result)
    assert set(urls) == {"mux", "heygen"}
    with pytest.raises(aiohttp.ClientConnectionError):
        await send_event(urls["mux"], mux_event())


async def test_stop_with_open_connections_ends_within_10_seconds(tmp_path: Path) -> None:
    stop = ShutdownToken()
    writers: list[asyncio.StreamWriter] = []

    async def disturb(endpoints: Mapping[str, str]) -> None:
        port = int(endpoints["mux"].split(":")[2].split("/")[0])
        await wait_for_creates(sandbox, 3)
        for number in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"[: number * 4]
            )
            writers.append(writer)
        await anyio.sleep(1)
        stopped_at.append(clock())
        stop.request()
        await anyio.sleep(1000)

    stopped_at: list[float] = []
    async with Sandbox(sandbox_options(**REALISTIC)) as sandbox:
        result = await run_disturbed(sandbox, tmp_path, films(50), disturb, stop=stop)
    assert "pending" in result.states().values()
    assert clock() - stopped_at[0] < 10
    for writer in writers:
        writer.close()


async def test_observers_receive_webhook_events_by_provider(tmp_path: Path) -> None:
    recorder = Recorder()
    async with Sandbox(sandbox_options(**QUICK)) as sandbox:
        await run_with_webhooks(sandbox, tmp_path, films(3), observer=recorder)
        ids = {job.id for job in sandbox.request_log.creates}
    received = recorder.of(WebhookReceived)
    assert Counter(event.provider for event in received) == {"mux": 9}
    assert {event.job_id for event in received} == ids
