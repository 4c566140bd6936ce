"""What tests count at the server, in the process and over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from batchcap.sandbox.http_types import Request, Response, Route
from batchcap.sandbox.mux.jobs import Job
from batchcap.sandbox.request_log import RequestLog
from tests.sandbox.client import asking

pytestmark = pytest.mark.anyio


def no_jobs() -> list[Job]:
    return []


def test_the_worst_second_is_half_open() -> None:
    request_log = RequestLog(no_jobs, max_requests=0)
    for time in (0.0, 0.5, 1.0, 1.25, 1.5, 9.0):
        request_log.record_arrival("mux.read", time)
    assert request_log.worst_second("mux.read") == 3
    assert request_log.worst_second("heygen") == 0


def test_what_was_not_kept_cannot_be_filtered() -> None:
    request_log = RequestLog(no_jobs, max_requests=1)
    call = Request("GET", "/", (), "", {}, b"", 0.0)
    route = Route("mux.job", "a", "mux.read", "read", lambda _: Response(200))
    request_log.record_response(0.0, call, route, 200, "")
    assert request_log.count("mux.job", key="a") == 1
    request_log.record_response(0.0, call, route, 200, "")
    assert request_log.count("mux.job") == 2
    with pytest.raises(LookupError):
        request_log.count("mux.job", key="a")


async def test_requests_are_counted_by_route_status_and_key() -> None:
    async with asking() as client:
        first = (await client.create("one", passthrough="mine")).data["id"]
        await client.create("one")
        await client.create("one", "ja")
        await client.job(first)
        await client.job("none")
        request_log = client.sandbox.request_log
        assert request_log.count("mux.create") == 3
        assert request_log.count("mux.create", status=202) == 2
        assert request_log.count("mux.create", status=409, key="one/the-track/es") == 1
        assert request_log.count("mux.job", key=first, method="GET") == 1
        assert [job.request.passthrough for job in request_log.creates_for("one", "es")] == ["mine"]
        assert [entry.route for entry in request_log.requests].count("mux.job") == 2


async def test_the_request_log_is_there_over_http() -> None:
    async with asking(faults={"throttle": 0.0}) as client:
        created = (await client.create("one", passthrough="mine")).data
        await client.heygen("/v3/video-translations/one")
        await asyncio.sleep(60)
        url = client.sandbox.url + "/sandbox"
        request_log = (await client.fetch(f"{url}/request-log")).json
    assert request_log["requests"] == {"mux.write": 1, "heygen": 1}
    assert request_log["routes"] == {"mux.create": {"202": 1}, "heygen.v3.video": {"200": 1}}
    assert request_log["worst_second"] == {"mux.write": 1, "heygen": 1}
    assert (request_log["throttled"], request_log["leaks"], request_log["faults"]) == (0, [], {})
    (create,) = request_log["creates"]
    assert (create["job_id"], create["passthrough"]) == (created["id"], "mine")
    assert (create["status"], create["units"]) == ("completed", request_log["units_consumed"])


async def test_options_change_over_http_or_say_why_not() -> None:
    async with asking(heygen_running=0.0) as client:
        url = client.sandbox.url + "/sandbox/options"
        assert (await client.fetch(url, "POST", {"heygen_v3": "gone410"})).status == 200
        assert (await client.heygen("/v3/video-translations/one")).status == 410
        changes = {"heygen_v3": "on", "faults": {"html_error": 1.0}, "fault_streak": 1}
        await client.fetch(url, "POST", changes)
        assert (await client.heygen("/v3/video-translations/one")).status == 502
        await client.fetch(url, "POST", {"faults": {}, "heygen_rate": 1.0, "burst": 1})
        statuses = [(await client.heygen("/v3/video-translations/one")).status for _ in range(2)]
        assert statuses == [200, 429]
        for bad in ({"faults": {"nope": 1}}, {"nope": 1}, {"seed": 3}, {"burst": "x"}, [1], b"{"):
            reply = await client.fetch(url, "POST", bad)
            assert reply.status == 400, bad
            assert reply.json["error"]
        assert (await client.fetch(url)).json["heygen_rate"] == 1.0
        assert (await client.fetch(client.sandbox.url + "/sandbox/none")).status == 404
        assert (await client.fetch(client.sandbox.url + "/nothing")).status == 404


async def test_the_clock_goes_forward_over_http_and_at_its_speed() -> None:
    async with asking(speed=10.0) as client:
        before = client.sandbox.now()
        await asyncio.sleep(6)
        assert 60 <= client.sandbox.now() - before < 61
        url = client.sandbox.url + "/sandbox/clock"
        now = (await client.fetch(url, "POST", {"advance": 86400})).json["now"]
    assert 86460 <= now - before < 86462


async def test_answers_take_the_time_they_are_told_to() -> None:
    async with asking(answer_seconds=3.0) as client:
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.job("none") for _ in range(10)))
        assert 3 <= asyncio.get_running_loop().time() - start < 4
