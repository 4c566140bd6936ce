"""Whole runs that listen, on virtual time: what events save, and that nothing relies on them.

The engine, its receiver, the providers that send and the ledger are in one loop.
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

from batchcap.events import Warned, WebhookReceived
from batchcap.model import Row
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.captions import make_webvtt as caption
from batchcap.sandbox.heygen.videos import find_end, language_of
from batchcap.stopping import Stop
from batchcap.webhooks.inbox import Inbox, inbox_path
from tests.fakes import VTT, Recorder, clock, now, serving
from tests.webhook_fixtures import (
    SECRETS,
    heygen_event,
    heygen_headers,
    mux_event,
    mux_headers,
    mux_job,
    running_receiver,
)
from tests.world import HERE, Ran, heygen_row, mux_row, run_rows, telling

pytestmark = pytest.mark.anyio

RATES = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
PACED: dict[str, Any] = {"rates": RATES}
"""A run within the documented limits, which the poller weighs its questions by."""

REALISTIC = {"job_seconds": 180.0, "job_sigma": 0.75, "job_seconds_max": 1800.0}
STEADY = {"job_sigma": 0.01, "job_seconds_max": 600.0}
QUICK = {**STEADY, "job_seconds": 1.0}
"""Jobs that have ended before anybody would ask about them for the first time."""

CATCHING_UP = 660.0
"""Seconds after which a caption is on disk at the latest whose event was lost: nobody is
relied on for more than 600, and then it has to be asked about and fetched."""


def paced(**fields: Any) -> SandboxOptions:
    """Providers with documented limits, this run's clock, and secrets that tests know."""
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
    """Rows that name their track, so that a create takes one request."""
    return [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(count)]


def clips(count: int) -> list[Row]:
    return [heygen_row(f"clip-{n}") for n in range(count)]


async def listened(sandbox: Sandbox, out: Path, rows: list[Row], **changes: Any) -> Ran:
    """A paced run with its own receiver, to which the sandbox sends."""
    given = {"announce": telling(sandbox), "listening": HERE, **PACED, **changes}
    return await run_rows(sandbox, out, rows, **given)


def asked(sandbox: Sandbox) -> int:
    """Requests of Mux that are no creates."""
    return sum(one.bucket == "mux.read" for one in sandbox.request_log.requests)


def looks(sandbox: Sandbox, provider: str = "mux") -> list[int]:
    """How often each job, or translation, was looked at by itself."""
    route = {"mux": "mux.job", "heygen": "heygen.v3.video"}[provider]
    return list(Counter(e.key for e in sandbox.request_log.requests if e.route == route).values())


def late(sandbox: Sandbox, ran: Ran) -> list[float]:
    """Seconds from each job's end to its row's, sorted."""
    made = sandbox.request_log.document(now())["creates"]
    ended = {job["job_id"]: job["ended"] for job in made}
    # The ledger's times are shown in whole milliseconds.
    return sorted(round(_finished(one) - ended[one["job_id"]], 1) for one in ran.results)


def _finished(one: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(one["finished_at"]).timestamp()


def assert_done(sandbox: Sandbox, out: Path, ran: Ran) -> None:
    """Every row has its caption, byte by byte, and nobody paid for one twice."""
    assert ran.fatal == []
    assert set(ran.states().values()) == {"done"}, Counter(ran.states().values())
    paid = [(job.request.asset_id, job.request.language) for job in sandbox.request_log.creates]
    assert len(paid) == len(set(paid))
    for one in ran.results:
        language = one["language"] or language_of(one["source_id"])
        served = caption(one["source_id"], language, sandbox.options.caption_bytes)
        assert (out / one["path"]).read_bytes() == served
    assert sandbox.request_log.leaks == []


async def post(url: str, event: Any, headers: Mapping[str, str] | None = None) -> int:
    """Send an event, signed where no headers are given."""
    body = orjson.dumps(event)
    signed = heygen_headers(body) if url.endswith("heygen") else mux_headers(body)
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=body, headers=signed if headers is None else headers) as answer,
    ):
        await answer.read()
        return answer.status


Meddle = Callable[[Mapping[str, str]], Coroutine[Any, Any, None]]


async def meddled(
    sandbox: Sandbox, out: Path, rows: list[Row], meddle: Meddle, **changes: Any
) -> Ran:
    """A run that listens, and beside it somebody who knows its endpoints."""
    async with anyio.create_task_group() as group:

        async def tell(endpoints: Mapping[str, str]) -> None:
            group.start_soon(meddle, endpoints)

        ran = await listened(sandbox, out, rows, **{"announce": tell, **changes})
        group.cancel_scope.cancel()
    return ran


async def created(sandbox: Sandbox, count: int = 1) -> list[str]:
    """The ids of so many jobs, once there are as many."""
    while len(sandbox.request_log.creates) < count:  # noqa: ASYNC110  # the sandbox tells nobody
        await anyio.sleep(0.2)
    return [job.id for job in sandbox.request_log.creates]


# What events save


async def test_a_mux_caption_costs_its_create_and_hardly_anything_else(tmp_path: Path) -> None:
    """300 rows are few: the sweeps before the first event and between events weigh more than
    in a long run, where a caption costs 1.14 requests in all (`benchmarks webhooks`)."""
    async with Sandbox(paced(**REALISTIC)) as sandbox:
        ran = await listened(sandbox, tmp_path, films(300))
        assert_done(sandbox, tmp_path, ran)
        assert ran.tally.requests["mux.write"] == 300
        assert asked(sandbox) <= 0.25 * 300
        assert ran.tally.webhooks["mux"] == 900
        assert late(sandbox, ran)[-1] < 1


@pytest.mark.parametrize("names", ["v0", "v1"])
@pytest.mark.parametrize("nested", [False, "mixed"])
async def test_the_link_of_an_event_is_used_without_a_question(
    tmp_path: Path, names: str, nested: bool | str
) -> None:
    options = paced(**QUICK, webhook_names=names, webhook_nested=nested)
    async with Sandbox(options) as sandbox:
        ran = await listened(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, ran)
        assert asked(sandbox) == 0
    assert all(one["error"] is None for one in ran.results)


async def test_a_completed_event_without_outputs_is_followed_by_one_question(
    tmp_path: Path,
) -> None:
    async with Sandbox(paced(**QUICK, webhook_outputs=False)) as sandbox:
        ran = await listened(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, ran)
        assert looks(sandbox) == [1] * 20
        assert asked(sandbox) == 20


async def test_a_caption_of_which_the_event_names_the_track_alone_is_fetched_there(
    tmp_path: Path,
) -> None:
    async with Sandbox(paced(**QUICK, faults={"missing_link": 1.0})) as sandbox:
        ran = await listened(sandbox, tmp_path, films(10))
        assert_done(sandbox, tmp_path, ran)
        assert sandbox.request_log.count("stream.track") >= 10


async def test_how_a_job_failed_is_told_by_its_event(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{word}-1", track_id="en") for word in ("failsforever", "cancelled")]
    async with Sandbox(paced(**QUICK)) as sandbox:
        rows = [msgspec.structs.replace(r, params={"track_id": f"{r.source_id}-en"}) for r in rows]
        ran = await listened(sandbox, tmp_path, rows)
        assert asked(sandbox) == 0
    assert list(ran.states().values()) == ["job_failed", "job_cancelled"]
    assert "invalid_input" in ran.results[0]["error"]["message"]


async def test_a_new_job_after_a_failed_one_is_heard_of_as_well(tmp_path: Path) -> None:
    films = [f"film-failsonce-{n}" for n in range(10)]
    rows = [mux_row(film, track_id=f"{film}-en") for film in films]
    async with Sandbox(paced(**QUICK)) as sandbox:
        ran = await listened(sandbox, tmp_path, rows, retry_jobs=1)
        assert asked(sandbox) == 0
        assert [len(sandbox.request_log.creates_for(film, "es")) for film in films] == [2] * 10
    assert set(ran.states().values()) == {"done"}


async def test_heygen_is_asked_once_after_an_event(tmp_path: Path) -> None:
    options = paced(heygen_running=1.0, heygen_finish_seconds=600.0)
    async with Sandbox(options) as sandbox:
        ran = await listened(sandbox, tmp_path, clips(100))
        assert_done(sandbox, tmp_path, ran)
        assert looks(sandbox, "heygen") == [1] * 100
        told = ran.tally.requests["heygen"]
    async with Sandbox(options) as sandbox:
        polled = await run_rows(sandbox, tmp_path / "polled", clips(100), **PACED)
    assert told < polled.tally.requests["heygen"]


# What no event does


async def test_a_heygen_event_alone_settles_nothing(tmp_path: Path) -> None:
    """It says "success" of everything at once; a GET says how it is."""
    words = ("stuck", "failed", "slow", "nocaption")
    rows = [heygen_row(f"id-{word}-1") for word in words]

    async def meddle(endpoints: Mapping[str, str]) -> None:
        await anyio.sleep(5)
        for row in rows:
            assert await post(endpoints["heygen"], heygen_event(row.source_id)) == 200

    async with Sandbox(paced(heygen_finish_seconds=300.0)) as sandbox:
        ran = await meddled(sandbox, tmp_path, rows, meddle)
    ends = ["job_timeout", "job_failed", "done", "captions_not_enabled"]
    assert list(ran.states().values()) == ends


@pytest.mark.parametrize(("longest", "told_at"), [(900.0, 400.0), (6000.0, 4000.0)])
async def test_a_translation_whose_event_came_too_early_is_asked_about_as_without_events(
    tmp_path: Path, longest: float, told_at: float
) -> None:
    """Its one event is spent. Measured: 32 s late at most, and 272 where that was not known."""
    options = paced(heygen_running=1.0, heygen_finish_seconds=longest)
    early: set[str] = set()
    async with Sandbox(options) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            sandbox.change(heygen_webhook_url=endpoints["heygen"])
            await anyio.sleep(told_at)
            over = sandbox_ends(sandbox)
            early.update(key for key, when in over.items() if when > now() + 300)
            for key in early:
                assert await post(endpoints["heygen"], heygen_event(key)) == 200

        ran = await meddled(sandbox, tmp_path, clips(100), meddle)
        assert_done(sandbox, tmp_path, ran)
        ended = sandbox_ends(sandbox)
    waited = [
        _finished(one) - ended[one["source_id"]] for one in ran.results if one["source_id"] in early
    ]
    assert len(waited) > 5
    assert min(waited) > -0.01
    assert max(waited) < 65


def sandbox_ends(sandbox: Sandbox) -> dict[str, float]:
    """When translations end that ran when they were asked about first."""
    world = sandbox._world  # the request log has only the videos that have ended
    found = {key: find_end(world, key) for key in world.first_requested}
    return {key: end.time for key, end in found.items() if end is not None}


@pytest.mark.parametrize("forged", ["unsigned", "another's", "old", "changed"])
async def test_a_mux_event_without_a_good_signature_is_refused_and_settles_nothing(
    tmp_path: Path, forged: str
) -> None:
    hits = 0

    async def trap(request: web.Request) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(body=VTT)

    heard = Recorder()
    async with serving(trap) as url, Sandbox(paced(**{**QUICK, "job_seconds": 120.0})) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            for job_id in await created(sandbox, 3):
                outputs = {"temporary_vtt_url": f"{url}/evil.vtt"}
                event = mux_event(data=mux_job(job_id, outputs=outputs), id=job_id)
                body = orjson.dumps(event)
                headers = {
                    "unsigned": {},
                    "another's": mux_headers(body, "another"),
                    "old": mux_headers(body, at=now() - 301),
                    "changed": mux_headers(body + b" "),
                }[forged]
                assert await post(endpoints["mux"], event, headers) == 401

        ran = await meddled(sandbox, tmp_path, films(3), meddle, observer=heard)
        assert_done(sandbox, tmp_path, ran)
        assert late(sandbox, ran)[0] >= 0
    assert hits == 0
    assert ran.tally.webhooks_refused["mux"] == 3
    (warned,) = [event.message for event in heard.of(Warned) if "signature" in event.message]
    assert "MUX_WEBHOOK_SECRET" in warned


@pytest.mark.parametrize("with_track", [True, False])
async def test_an_unsigned_event_never_contributes_a_link(tmp_path: Path, with_track: bool) -> None:
    """Without a secret all events are hearsay, on loopback too."""
    hits = 0

    async def trap(request: web.Request) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(body=VTT)

    async with serving(trap) as url, Sandbox(paced(**{**QUICK, "job_seconds": 60.0})) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            for job_id in await created(sandbox, 3):
                outputs = {"temporary_vtt_url": f"{url}/evil.vtt"}
                outputs |= {"uploaded_track_id": "film-0-en"} if with_track else {}
                event = mux_event(data=mux_job(job_id, outputs=outputs), id=job_id)
                assert await post(endpoints["mux"], event, {}) == 200
            sandbox.change(mux_webhook_url=endpoints["mux"])

        ran = await meddled(
            sandbox,
            tmp_path,
            films(3),
            meddle,
            environment=dict.fromkeys(SECRETS, ""),
            listening=msgspec.structs.replace(HERE, insecure=True),
        )
        assert_done(sandbox, tmp_path, ran)
        assert late(sandbox, ran)[0] >= 0
        assert min(looks(sandbox)) >= 2, "one for the forged event, one for the true one"
    assert hits == 0


async def test_events_that_say_it_runs_do_not_keep_a_job_alive(tmp_path: Path) -> None:
    rows = [mux_row("film-stuck-1", track_id="film-stuck-1-en")]

    async def meddle(endpoints: Mapping[str, str]) -> None:
        (job_id,) = await created(sandbox)
        for number in range(1000):
            event = mux_event("processing", mux_job(job_id, "processing"), id=str(number))
            assert await post(endpoints["mux"], event) == 200
            await anyio.sleep(20)

    async with Sandbox(paced(**QUICK)) as sandbox:
        began = clock()
        ran = await meddled(sandbox, tmp_path, rows, meddle, job_timeout=600.0)
        assert clock() - began < 600 + 120
    assert list(ran.states().values()) == ["job_timeout"]


# Events that are lost


@pytest.mark.parametrize("lost", [0.1, 0.5])
async def test_what_no_event_told_of_is_found_by_asking(tmp_path: Path, lost: float) -> None:
    async with Sandbox(paced(**REALISTIC, faults={"webhook_lost": lost})) as sandbox:
        ran = await listened(sandbox, tmp_path, films(200))
        assert_done(sandbox, tmp_path, ran)
        waited = late(sandbox, ran)
    assert sandbox.request_log.faults["webhook_lost"] > 20
    assert waited[int((1 - lost) * 200) - 20] < 1
    assert waited[-1] < CATCHING_UP


async def test_where_all_events_are_lost_it_is_polling(tmp_path: Path) -> None:
    async with Sandbox(paced(**REALISTIC)) as sandbox:
        polled = await run_rows(sandbox, tmp_path / "polled", films(100), **PACED)
        reads, waited = asked(sandbox), late(sandbox, polled)
    async with Sandbox(paced(**REALISTIC, faults={"webhook_lost": 1.0})) as sandbox:
        ran = await listened(sandbox, tmp_path, films(100))
        assert_done(sandbox, tmp_path, ran)
        assert ran.tally.webhooks == {}
        assert abs(asked(sandbox) - reads) <= 0.1 * reads
        assert late(sandbox, ran)[-1] == pytest.approx(waited[-1], abs=30)


@pytest.mark.parametrize("after", [150.0, 320.0, 600.0])
async def test_events_that_stop_coming_are_caught_up_with(tmp_path: Path, after: float) -> None:
    """While rows are created, when the last was, and when few are left. Measured over three
    seeds: the last caption is 22 to 59 s late, as with polling."""
    async with Sandbox(paced(**REALISTIC)) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            sandbox.change(mux_webhook_url=endpoints["mux"])
            await anyio.sleep(after)
            sandbox.change(mux_webhook_url="")

        ran = await meddled(sandbox, tmp_path, films(300), meddle)
        assert_done(sandbox, tmp_path, ran)
        assert ran.tally.webhooks["mux"] < 900
        assert late(sandbox, ran)[-1] < 120


async def test_a_run_that_was_stopped_goes_on_at_another_endpoint(tmp_path: Path) -> None:
    """What was sent meanwhile comes late, or never; nothing is paid for twice."""
    async with Sandbox(paced(**REALISTIC)) as sandbox:
        for after in (100.0, 150.0):
            stop = Stop()
            asyncio.get_running_loop().call_later(after, stop.request)
            stopped = await listened(sandbox, tmp_path, films(300), stop=stop)
            assert "pending" in stopped.states().values()
            await anyio.sleep(60)  # events find nobody
        ran = await listened(sandbox, tmp_path, films(300))
        assert_done(sandbox, tmp_path, ran)
        assert len(sandbox.request_log.creates) == 300
        assert sandbox.request_log.webhooks["mux", "retried"] > 20


# Events in disorder


@pytest.mark.parametrize(
    "fault", ["webhook_duplicate", "webhook_reordered", "webhook_foreign", "webhook_bad_signature"]
)
async def test_disorder_costs_neither_a_question_nor_a_caption(tmp_path: Path, fault: str) -> None:
    options = paced(**QUICK, faults={fault: 1.0}, webhook_late_seconds=0.2, webhook_retry=0.3)
    heard = Recorder()
    async with Sandbox(options) as sandbox:
        ran = await listened(sandbox, tmp_path, films(70), observer=heard)
        assert_done(sandbox, tmp_path, ran)
        assert asked(sandbox) <= 2  # a sweep may come before an event that is late
        assert sandbox.request_log.faults[fault] >= 70
    refused = ran.tally.webhooks_refused["mux"]
    assert refused >= 2 * 70 if fault == "webhook_bad_signature" else not refused
    told = [event.message for event in heard.of(Warned)]
    assert len(told) <= (2 if refused else 0), "once a minute"


async def test_events_that_overtake_the_answer_to_the_create_are_kept_for_it(
    tmp_path: Path,
) -> None:
    async with Sandbox(paced(**QUICK, answer_seconds=3.0)) as sandbox:
        ran = await listened(sandbox, tmp_path, films(20))
        assert_done(sandbox, tmp_path, ran)
        assert asked(sandbox) == 0


async def test_a_completed_event_before_the_pending_one_is_the_last_word(tmp_path: Path) -> None:
    async with Sandbox(paced(**{**QUICK, "job_seconds": 30.0})) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            job_id = (await created(sandbox))[0]
            await anyio.sleep(31)
            link = sandbox.url + sandbox._world.links.storage_link(
                sandbox.request_log.creates[0], 86400
            )
            for word in ("completed", "processing", "pending"):
                outputs = {"outputs": {"temporary_vtt_url": link}} if word == "completed" else {}
                event = mux_event(word, mux_job(job_id, word, **outputs), id=word)
                assert await post(endpoints["mux"], event) == 200

        ran = await meddled(sandbox, tmp_path, films(50), meddle)
        assert_done(sandbox, tmp_path, ran)


async def test_news_of_rows_that_are_done_and_of_other_runs_change_nothing(
    tmp_path: Path,
) -> None:
    async with Sandbox(paced(**QUICK)) as sandbox:
        others = await run_rows(sandbox, tmp_path / "other", films(5), **PACED)
        assert_done(sandbox, tmp_path / "other", others)
        before = asked(sandbox)

        async def meddle(endpoints: Mapping[str, str]) -> None:
            sandbox.change(mux_webhook_url=endpoints["mux"])
            over = await created(sandbox, 10)
            await anyio.sleep(3)
            for number in range(8):
                for job_id in [*over, "rjob_of_nobody"]:
                    event = mux_event(data=mux_job(job_id), id=f"{job_id} {number}")
                    assert await post(endpoints["mux"], event) == 200
                await anyio.sleep(1)

        mine = [mux_row(f"mine-{n}", track_id=f"mine-{n}-en") for n in range(20)]
        ran = await meddled(sandbox, tmp_path, mine, meddle)
        assert_done(sandbox, tmp_path, ran)
        assert asked(sandbox) == before
        assert ran.tally.webhooks["mux"] == 20 * 3 + 8 * 11


# Links in events


async def test_a_dead_link_of_an_event_leads_to_a_fresh_look(tmp_path: Path) -> None:
    async with Sandbox(paced(**QUICK, faults={"expired_link": 1.0})) as sandbox:
        ran = await listened(sandbox, tmp_path, films(10))
        assert_done(sandbox, tmp_path, ran)
        assert min(looks(sandbox)) >= 1
        assert sandbox.request_log.faults["expired_link"] >= 10


async def test_a_signed_event_that_came_too_early_does_not_fail_its_row(tmp_path: Path) -> None:
    """Its link is dead, and a look says that the job runs: so the row waits on."""
    async with Sandbox(paced(**{**QUICK, "job_seconds": 100.0})) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            for job_id in await created(sandbox, 3):
                dead = {"temporary_vtt_url": f"{sandbox.url}/storage/nothing?X-Goog-Signature=0"}
                event = mux_event(data=mux_job(job_id, outputs=dead), id=job_id)
                assert await post(endpoints["mux"], event) == 200
            sandbox.change(mux_webhook_url=endpoints["mux"])

        ran = await meddled(sandbox, tmp_path, films(3), meddle)
        assert_done(sandbox, tmp_path, ran)
        assert late(sandbox, ran)[0] >= 0
        assert {one["job_id"] for one in ran.results} == set(await created(sandbox, 3))


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
async def test_a_link_to_a_place_that_is_not_public_is_refused_signed_or_not(
    tmp_path: Path, link: str
) -> None:
    async with Sandbox(paced(**{**QUICK, "job_seconds": 1000.0})) as sandbox:

        async def meddle(endpoints: Mapping[str, str]) -> None:
            (job_id,) = await created(sandbox)
            event = mux_event(data=mux_job(job_id, outputs={"temporary_vtt_url": link}))
            assert await post(endpoints["mux"], event) == 200

        ran = await meddled(sandbox, tmp_path, films(1), meddle)
    assert list(ran.states().values()) == ["link_dead"]
    assert not list(tmp_path.rglob("*.vtt"))


# One inbox for many runs


@asynccontextmanager
async def inbox(folder: Path, sandbox: Sandbox) -> AsyncIterator[Path]:
    """`batchcap listen` in this loop, and a sandbox that sends to it."""
    home = folder / "batchcap"
    with Inbox(home, executor=None, now=now) as kept:
        async with running_receiver(kept.store) as receiver:
            urls = receiver.receiver.endpoints()
            await telling(sandbox)(urls)
            yield home
            await telling(sandbox)(dict.fromkeys(urls, ""))


async def read_inbox(sandbox: Sandbox, out: Path, rows: list[Row], state: Path, **more: Any) -> Ran:
    """A run that has no receiver, on a machine with an inbox."""
    environment = {"XDG_STATE_HOME": str(state)}
    return await run_rows(sandbox, out, rows, environment, simulated=False, **{**PACED, **more})


async def test_two_runs_share_an_inbox_and_ask_less(tmp_path: Path) -> None:
    """Measured: 1.8 questions a caption, of which 1 is for the link that no inbox keeps, where
    polling takes 3.2; of 300 rows a run 1.1 and 1.9."""
    counts = []
    for name in ("heard", "deaf"):
        async with Sandbox(paced(**REALISTIC, mux_write_rate=None, mux_read_rate=None)) as sandbox:
            async with inbox(tmp_path / "state", sandbox):
                state = tmp_path / ("state" if name == "heard" else "nothing")

                async def go(
                    which: str, sandbox: Sandbox = sandbox, name: str = name, state: Path = state
                ) -> None:
                    rows = [mux_row(f"{which}-{n}", track_id=f"{which}-{n}-en") for n in range(100)]
                    out = tmp_path / name / which
                    ran = await read_inbox(sandbox, out, rows, state)
                    assert_done(sandbox, out, ran)
                    mine = {one["job_id"] for one in ran.results}
                    assert len(mine) == 100

                async with anyio.create_task_group() as group:
                    group.start_soon(go, "a")
                    group.start_soon(go, "b")
            counts.append(asked(sandbox) / 200)
    assert 1 <= counts[0] < 0.75 * counts[1]


async def test_a_run_that_starts_after_the_events_came_uses_them(tmp_path: Path) -> None:
    async with Sandbox(paced(**{**QUICK, "job_seconds": 60.0})) as sandbox:
        stop = Stop()
        asyncio.get_running_loop().call_later(40, stop.request)
        async with inbox(tmp_path / "state", sandbox):
            first = await read_inbox(
                sandbox, tmp_path / "a", films(30), tmp_path / "state", stop=stop
            )
            assert list(first.states().values()).count("pending") == 30
            await anyio.sleep(200)
        before = asked(sandbox)
        ran = await read_inbox(sandbox, tmp_path / "a", [], tmp_path / "state")
        assert_done(sandbox, tmp_path / "a", ran)
        assert asked(sandbox) - before <= 32


def deleted(home: Path) -> None:
    for path in home.iterdir():
        path.unlink()


def damaged(home: Path) -> None:
    for path in home.iterdir():
        path.write_bytes(b"no database at all, " * 1000)


def of_another_version(home: Path) -> None:
    with closing(sqlite3.connect(inbox_path(home))) as connection:
        connection.execute("DROP TABLE events")
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("harm", [deleted, damaged, of_another_version])
async def test_an_inbox_that_breaks_in_the_middle_leaves_polling(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    heard = Recorder()
    async with Sandbox(paced(**REALISTIC)) as sandbox:
        async with inbox(tmp_path / "state", sandbox) as home:

            async def later() -> None:
                await anyio.sleep(200)
                await telling(sandbox)({"mux": ""})
                harm(home)

            async with anyio.create_task_group() as group:
                group.start_soon(later)
                ran = await read_inbox(
                    sandbox, tmp_path, films(200), tmp_path / "state", observer=heard
                )
        assert_done(sandbox, tmp_path, ran)
        assert late(sandbox, ran)[-1] < CATCHING_UP
    told = [event.message for event in heard.of(Warned) if "inbox" in event.message]
    assert len(told) == (harm is not deleted)


async def test_old_news_of_a_job_that_runs_again_costs_a_look_and_no_more(
    tmp_path: Path,
) -> None:
    """The sandbox's ids are the same in every run, so yesterday's inbox tells of today's jobs."""
    rows = films(30)
    async with Sandbox(paced(**QUICK)) as sandbox:
        async with inbox(tmp_path / "state", sandbox):
            await read_inbox(sandbox, tmp_path / "a", rows, tmp_path / "state")
        ids = {job.id for job in sandbox.request_log.creates}
    async with Sandbox(paced(**{**QUICK, "job_seconds": 200.0})) as sandbox:
        ran = await read_inbox(sandbox, tmp_path / "b", rows, tmp_path / "state")
        assert {job.id for job in sandbox.request_log.creates} == ids
        assert_done(sandbox, tmp_path / "b", ran)
        assert late(sandbox, ran)[0] >= 0
        assert late(sandbox, ran)[-1] < 65


# The receiver beside a run


async def test_the_receiver_is_there_before_the_first_create_and_gone_after_the_last_row(
    tmp_path: Path,
) -> None:
    urls: dict[str, str] = {}
    async with Sandbox(paced(**QUICK)) as sandbox:

        async def tell(endpoints: Mapping[str, str]) -> None:
            urls.update(endpoints)
            assert sandbox.request_log.requests == []
            await telling(sandbox)(endpoints)

        ran = await listened(sandbox, tmp_path, [*films(5), *clips(5)], announce=tell)
        assert_done(sandbox, tmp_path, ran)
    assert set(urls) == {"mux", "heygen"}
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(urls["mux"], mux_event())


async def test_a_stop_with_open_connections_ends_in_time(tmp_path: Path) -> None:
    stop = Stop()
    writers: list[asyncio.StreamWriter] = []

    async def meddle(endpoints: Mapping[str, str]) -> None:
        port = int(endpoints["mux"].split(":")[2].split("/")[0])
        await created(sandbox, 3)
        for number in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"[: number * 4]
            )
            writers.append(writer)
        await anyio.sleep(1)
        meddled_at.append(clock())
        stop.request()
        await anyio.sleep(1000)

    meddled_at: list[float] = []
    async with Sandbox(paced(**REALISTIC)) as sandbox:
        ran = await meddled(sandbox, tmp_path, films(50), meddle, stop=stop)
    assert "pending" in ran.states().values()
    assert clock() - meddled_at[0] < 10
    for writer in writers:
        writer.close()


async def test_events_come_to_observers_by_provider(tmp_path: Path) -> None:
    heard = Recorder()
    async with Sandbox(paced(**QUICK)) as sandbox:
        await listened(sandbox, tmp_path, films(3), observer=heard)
        ids = {job.id for job in sandbox.request_log.creates}
    told = heard.of(WebhookReceived)
    assert Counter(event.provider for event in told) == {"mux": 9}
    assert {event.job_id for event in told} == ids
