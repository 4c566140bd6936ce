"""The sandbox, and every request of the adapters, conform to the specifications in tests/specs."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.sandbox import HEYGEN_KEYWORDS, Sandbox, SandboxOptions
from batchcap.sandbox.http_types import Request
from tests.harness.accounts import manifest_of
from tests.harness.openapi import Specification, requests_to
from tests.harness.rows import heygen_row
from tests.harness.runs import run_rows
from tests.sandbox.client import sandbox_client
from tests.sandbox.conftest import SLOW_JOBS, SandboxThread
from tests.sandbox.test_seeds import SEEDS

HEYGEN = Specification.load("heygen-v3.openapi.json")
heygen_schema = HEYGEN.schemathesis()

VALID_KEY = re.compile(r"[A-Za-z0-9_:.-]{1,255}")
KEYS = map(str, count())
"""New Idempotency-Keys."""


@heygen_schema.parametrize()
@settings(suppress_health_check=list(HealthCheck))
def test_heygen_conforms_to_its_specification(case: Case[Any], threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    case.headers["X-Api-Key"] = environment["HEYGEN_API_KEY"]
    if VALID_KEY.fullmatch(case.headers.get("Idempotency-Key", "")):
        # A key that was used before gets the original response, whatever the body is.
        case.headers["Idempotency-Key"] = next(KEYS)
    case.call_and_validate(base_url=environment["HEYGEN_API_BASE"])


EXAMPLES = [25, pytest.param(300, marks=[pytest.mark.nightly, pytest.mark.timeout(0)])]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_heygen_conforms_over_the_links_of_its_specification(
    sandbox_thread: SandboxThread, examples: int
) -> None:
    def start() -> tuple[str, dict[str, str]]:
        environment = sandbox_thread.start(SLOW_JOBS).environment()
        return environment["HEYGEN_API_BASE"], {"X-Api-Key": environment["HEYGEN_API_KEY"]}

    statuses = HEYGEN.follow_links(start, lambda: sandbox_thread.advance(1.0), examples)
    expected = [("createTranslations", 200), ("createBatch", 202), ("getTranslation", 200)]
    for operation in (*expected, ("getBatch", 200), ("statuses", 200)):
        assert statuses[operation], dict(statuses)


@pytest.mark.anyio
@pytest.mark.parametrize("keyword", sorted(HEYGEN_KEYWORDS.keys() - {"forbidden", "oddstate"}))
async def test_heygen_responses_of_each_keyword_conform_at_any_age(keyword: str) -> None:
    """Without `forbidden` and `oddstate`, which the specification does not know."""
    video_id = f"id-{keyword}"
    async with sandbox_client(heygen_finish_seconds=90.0, heygen_ids=(video_id,)) as client:
        for _ in range(4):
            for operation, path in {
                "getTranslation": f"/{video_id}",
                "statuses": f"/statuses?video_translation_ids={video_id},other",
                "listTranslations": "",
            }.items():
                response = await client.heygen(f"/v3/video-translations{path}")
                HEYGEN.check_response(operation, *response.checkable)
            await asyncio.sleep(35)


HEYGEN_ERRORS: dict[int, dict[str, Any]] = {
    401: {"heygen_api_key": "another"},
    429: {"faults": {"throttle": 1.0}, "fault_streak": 99},
    500: {"faults": {"server_error": 1.0}, "fault_streak": 99},
}


@pytest.mark.anyio
@pytest.mark.parametrize("status", HEYGEN_ERRORS)
async def test_heygen_errors_conform_to_the_specification(status: int) -> None:
    async with sandbox_client() as client:
        client.sandbox.change(**HEYGEN_ERRORS[status])
        response = await client.heygen("/v3/video-translations/id")
        HEYGEN.check_response("getTranslation", *response.checkable)
        assert response.status == status


@pytest.mark.anyio
async def test_heygen_requests_of_a_run_conform_to_the_specification(tmp_path: Path) -> None:
    received: list[Request] = []
    ids = [f"clip-{number}" for number in range(230)]
    special = ["id-slow", "id-missing", "id-failed", "id-latelink", "id-preflight", "år~ %2F,+ø"]
    options = SandboxOptions(heygen_ids=tuple(ids), heygen_running=0.3, statuses_page=40)
    async with Sandbox(options) as sandbox:
        sandbox.on_request = received.append
        await run_rows(sandbox, tmp_path, map(heygen_row, ids + special))
    operations = Counter(map(HEYGEN.check_request, requests_to("heygen", received)))
    assert operations.keys() == {"getTranslation", "listTranslations", "statuses"}


@pytest.mark.anyio
async def test_heygen_requests_of_a_manifest_conform_to_the_specification(tmp_path: Path) -> None:
    received: list[Request] = []
    async with Sandbox(SandboxOptions(heygen_account=250)) as sandbox:
        sandbox.on_request = received.append
        await manifest_of(sandbox, tmp_path / "v.csv", provider="heygen")
    operations = Counter(map(HEYGEN.check_request, requests_to("heygen", received)))
    assert operations == {"listTranslations": 3}


@pytest.mark.anyio
async def test_heygen_v2_requests_of_a_run_conform_to_the_seed(tmp_path: Path) -> None:
    received: list[Request] = []
    rows = [heygen_row(f"id-{keyword}") for keyword in HEYGEN_KEYWORDS]
    async with Sandbox(SandboxOptions()) as sandbox:
        sandbox.on_request = received.append
        await run_rows(sandbox, tmp_path, rows, options={"heygen_api": "v2"})
    captions = [
        request for request in requests_to("heygen", received) if "/caption?" in request.raw_path
    ]
    seed = Specification(json.loads((SEEDS / "heygen_caption.json").read_text()))
    assert {seed.check_request(request) for request in captions} == {"video-translate-caption"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v3/video-translations"),
        ("DELETE", "/v3/video-translations/one"),
        ("GET", "/v3/other"),
        ("GET", "/v3/video-translations?limit=101"),
        ("GET", "/v3/video-translations?limit=ten"),
        ("GET", "/v3/video-translations?limit=1&limit=2"),
        ("GET", "/v3/video-translations?page=2"),
        ("GET", "/v3/video-translations/"),
    ],
)
def test_specification_refuses_requests_that_do_not_conform(method: str, path: str) -> None:
    raw_path = f"/heygen{path}"
    query = path.partition("?")[2]
    request = Request(method, raw_path, (), query, {"X-Api-Key": "key"}, b"", 0.0)
    with pytest.raises(AssertionError):
        HEYGEN.check_request(request)
    valid = request._replace(method="GET", raw_path="/heygen/v3/video-translations", query="")
    assert HEYGEN.check_request(valid) == "listTranslations"
    with pytest.raises(AssertionError, match="X-Api-Key is missing"):
        HEYGEN.check_request(valid._replace(headers={}))
    with pytest.raises(AssertionError, match="takes no body"):
        HEYGEN.check_request(valid._replace(body=b"{}"))
