"""The request log, and the control routes of the sandbox."""

from __future__ import annotations

import asyncio

import pytest

from batchcap.sandbox.http_types import Request, Response, Route
from batchcap.sandbox.mux.jobs import Job
from batchcap.sandbox.request_log import RequestLog
from tests.sandbox.client import sandbox_client

pytestmark = pytest.mark.anyio


def no_jobs() -> list[Job]:
    return []


def test_worst_second_is_a_half_open_window() -> None:
    request_log = RequestLog(no_jobs, max_requests=0)
    for time in (0.0, 0.5, 1.0, 1.25, 1.5, 9.0):
        request_log.record_arrival("mux.read", time)
    assert request_log.worst_second("mux.read") == 3
    assert request_log.worst_second("heygen") == 0


def test_count_with_filter_raises_if_requests_were_not_kept() -> None:
    request_log = RequestLog(no_jobs, max_requests=1)
    request = Request("GET", "/", (), "", {}, b"", 0.0)
    route = Route("mux.job", "a", "mux.read", "read", lambda _: Response(200))
    request_log.record_response(0.0, request, route, 200, "")
    assert request_log.count("mux.job", key="a") == 1
    request_log.record_response(0.0, request, route, 200, "")
    assert request_log.count("mux.job") == 2
    with pytest.raises(LookupError):
        request_log.count("mux.job", key="a")


async def test_requests_are_counted_by_route_status_and_key() -> None:
    async with sandbox_client() as client:
        first = (await client.create("one", passthrough="text")).data["id"]
        await client.create("one")
        await client.create("one", "ja")
        await client.get_job(first)
        await client.get_job("none")
        request_log = client.sandbox.request_log
        assert request_log.count("mux.create") == 3
        assert request_log.count("mux.create", status=202) == 2
        assert request_log.count("mux.create", status=409, key="one/the-track/es") == 1
        assert request_log.count("mux.job", key=first, method="GET") == 1
        assert [job.request.passthrough for job in request_log.creates_for("one", "es")] == ["text"]
        assert [request.route for request in request_log.requests].count("mux.job") == 2


async def test_request_log_is_available_over_http() -> None:
    async with sandbox_client(faults={"throttle": 0.0}) as client:
        created = (await client.create("one", passthrough="text")).data
        await client.heygen("/v3/video-translations/one")
        await asyncio.sleep(60)
        request_log = (await client.control("/request-log")).json
    assert request_log["requests"] == {"mux.write": 1, "heygen": 1}
    assert request_log["routes"] == {"mux.create": {"202": 1}, "heygen.v3.video": {"200": 1}}
    assert request_log["worst_second"] == {"mux.write": 1, "heygen": 1}
    assert (request_log["throttled"], request_log["leaks"], request_log["faults"]) == (0, [], {})
    (create,) = request_log["creates"]
    assert (create["job_id"], create["passthrough"]) == (created["id"], "text")
    assert (create["status"], create["units"]) == ("completed", request_log["units_consumed"])


async def test_options_change_over_http_or_return_the_reason() -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        assert (await client.control("/options", "POST", {"heygen_v3": "gone410"})).status == 200
        assert (await client.heygen("/v3/video-translations/one")).status == 410
        changes = {"heygen_v3": "on", "faults": {"html_error": 1.0}, "fault_streak": 1}
        await client.control("/options", "POST", changes)
        assert (await client.heygen("/v3/video-translations/one")).status == 502
        await client.control("/options", "POST", {"faults": {}, "heygen_rate": 1.0, "burst": 1})
        statuses = [(await client.heygen("/v3/video-translations/one")).status for _ in range(2)]
        assert statuses == [200, 429]
        for bad in ({"faults": {"nope": 1}}, {"nope": 1}, {"seed": 3}, {"burst": "x"}, [1], b"{"):
            response = await client.control("/options", "POST", bad)
            assert response.status == 400, bad
            assert response.json["error"]
        assert (await client.control("/options")).json["heygen_rate"] == 1.0
        assert (await client.control("/none")).status == 404
        assert (await client.fetch(client.sandbox.url + "/nothing")).status == 404


async def test_clock_advances_over_http_and_by_its_speed() -> None:
    async with sandbox_client(speed=10.0) as client:
        before = client.sandbox.now()
        await asyncio.sleep(6)
        assert 60 <= client.sandbox.now() - before < 61
        now = (await client.control("/clock", "POST", {"advance": 86400})).json["now"]
    assert 86460 <= now - before < 86462


async def test_answer_seconds_delays_every_response() -> None:
    async with sandbox_client(answer_seconds=3.0) as client:
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.get_job("none") for _ in range(10)))
        assert 3 <= asyncio.get_running_loop().time() - start < 4
