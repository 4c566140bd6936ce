"""What HeyGen's errors do: a refused account stops HeyGen, a refused translation fails its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from batchcap.domain.errors import FatalError, RowError
from batchcap.domain.models import JobState
from batchcap.sandbox import Sandbox, SandboxOptions
from tests.harness.provider import running_provider
from tests.harness.rows import heygen_row
from tests.harness.runs import run_rows
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio

ROW = heygen_row("tr")


class FakeHeyGen:
    """The environment of a server that is not the sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url

    def environment(self) -> dict[str, str]:
        return {"HEYGEN_API_BASE": self.url, "HEYGEN_API_KEY": "key"}


async def get_job(
    status: int, body: object, version: str, probe_status: int = 200
) -> JobState | FatalError | RowError:
    """Return what a response about a translation leads to, the state or the error.

    Requests that are not about one translation get `probe_status`.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith(("/statuses", "/target_languages")):
            return web.json_response({"data": []}, status=probe_status)
        return web.json_response(body, status=status)

    async with http_server(handle) as url:
        environment: Any = FakeHeyGen(url)
        async with running_provider(environment, "heygen", options={"heygen_api": version}) as here:
            try:
                return (await here.provider.get_job(ROW, "tr")).state
            except (FatalError, RowError) as error:
                return error


@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize("shape", ["null", "string", "object"])
async def test_account_without_access_stops_heygen_and_its_rows_stay_pending(
    tmp_path: Path, version: str, shape: Any
) -> None:
    options = SandboxOptions(heygen_forbidden=True, heygen_error_shape=shape)
    rows = [heygen_row(f"id-{number}") for number in range(120)]
    async with Sandbox(options) as sandbox:
        settings: Any = {"options": {"heygen_api": version}, "rates": {"heygen": 5.0}}
        refused = await run_rows(sandbox, tmp_path, rows, **settings)
        # v2 requests each caption on its own, and the first refusals may not say whose they are.
        assert len(sandbox.request_log.requests) < (10 if version == "v3" else len(rows) + 5)
        sandbox.change(heygen_forbidden=False)
        resumed = await run_rows(sandbox, tmp_path, **settings)
    assert [error.provider for error in refused.fatal] == ["heygen"]
    assert "Account suspended" in refused.fatal[0].message
    assert "HEYGEN_API_KEY" in refused.fatal[0].hint
    assert set(refused.states().values()) == {"pending"}
    assert set(resumed.states().values()) == {"done"}


async def test_access_revoked_during_a_run_loses_no_row(tmp_path: Path) -> None:
    rows = [heygen_row(f"id-slow-{number}") for number in range(20)]
    async with Sandbox(SandboxOptions(heygen_finish_seconds=100.0)) as sandbox:
        async with anyio.create_task_group() as group:

            async def revoke() -> None:
                await anyio.sleep(50)
                sandbox.change(heygen_forbidden=True)

            group.start_soon(revoke)
            refused = await run_rows(sandbox, tmp_path, rows)
        sandbox.change(heygen_forbidden=False)
        resumed = await run_rows(sandbox, tmp_path)
    assert refused.fatal
    assert set(refused.states().values()) == {"pending"}
    assert set(resumed.states().values()) == {"done"}


async def test_exceeded_quota_pauses_all_of_heygen_once_and_loses_no_row(tmp_path: Path) -> None:
    rows = [heygen_row(f"id-{number}") for number in range(20)]
    options = SandboxOptions(
        heygen_running=0.0, heygen_quota_seconds=3600, fault_streak=99, faults={"throttle": 1.0}
    )
    async with Sandbox(options) as sandbox:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:

            async def restore() -> None:
                await anyio.sleep(1800)
                sandbox.change(faults={})

            group.start_soon(restore)
            result = await run_rows(sandbox, tmp_path, rows, rates={"heygen": 5.0})
        throttled = sandbox.request_log.throttled
    assert set(result.states().values()) == {"done"}
    assert throttled == 1
    assert 3600 <= anyio.current_time() - began < 3700


@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize(
    "body", [{"error": {"code": "forbidden", "message": "no"}}, None, "<html>"]
)
async def test_heygen_403_fails_only_its_row_unless_the_account_is_refused(
    version: str, body: object
) -> None:
    row_error = await get_job(403, body, version)
    account_error = await get_job(403, body, version, probe_status=403)
    assert isinstance(row_error, RowError)
    assert isinstance(account_error, FatalError)
    assert "403" in row_error.message
    assert "403" in account_error.message


async def test_heygen_access_denied_to_one_translation_causes_no_second_request(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions(heygen_running=0.0)) as sandbox:
        async with running_provider(sandbox, "heygen", options={"heygen_api": "v3"}) as here:
            with pytest.raises(RowError, match="resource_access_denied"):
                await here.provider.get_job(ROW, "id-forbidden")
        assert len(sandbox.request_log.requests) == 1


def top_level(code: int, error: object = None) -> dict[str, object]:
    return {"code": code, "message": "why", "error": error, "data": None}


def in_error(code: int) -> dict[str, object]:
    return {"error": {"code": code, "message": "why"}, "data": None}


@pytest.mark.parametrize("body", [top_level, in_error])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400112, FatalError),  # unauthorized
        (400599, FatalError),  # plan not supported
        (400631, FatalError),  # suspended
        (40001, RowError),  # missing parameters
        (40012, RowError),  # bad query parameter
        (400573, RowError),  # permission denied
    ],
)
async def test_v2_numeric_code_decides_whether_a_row_or_the_account_is_refused(
    body: Any, status: int, code: int, expected: type[Exception]
) -> None:
    error = await get_job(status, body(code), "v2")
    assert isinstance(error, expected)
    assert "why" in str(error)


@pytest.mark.parametrize("body", [top_level, in_error])
@pytest.mark.parametrize("status", [200, 400, 404])
async def test_v2_code_of_an_invalid_id_means_missing(body: Any, status: int) -> None:
    assert await get_job(status, body(40031), "v2") is JobState.MISSING


async def test_v2_code_of_success_is_no_error() -> None:
    body = {"code": 100, "message": "Success", "data": {"status": "running"}}
    assert await get_job(200, body, "v2") is JobState.RUNNING


@pytest.mark.parametrize("error", ["why", {"code": "not_found", "message": "why"}])
@pytest.mark.parametrize("version", ["v3", "v2"])
async def test_2xx_with_an_error_and_no_data_fails_its_row(version: str, error: object) -> None:
    result = await get_job(200, {"error": error, "data": None}, version)
    assert isinstance(result, RowError)
    assert "why" in result.message
