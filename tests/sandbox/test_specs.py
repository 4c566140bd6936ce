"""The sandbox, and every request of the adapters, conform to the specifications in tests/specs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.http_types import Request
from tests.openapi import Specification, requests_to
from tests.world import heygen_row, run_rows

HEYGEN = Specification.load("heygen-v3.openapi.json")
heygen_schema = HEYGEN.schemathesis()


@heygen_schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_heygen_conforms_to_its_specification(case: Case[Any], threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    case.headers["X-Api-Key"] = environment["HEYGEN_API_KEY"]
    case.call_and_validate(base_url=environment["HEYGEN_API_BASE"])


def test_heygen_conforms_over_the_links_of_its_specification(threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    statuses: Counter[tuple[str, int]] = Counter()

    class Workflow(heygen_schema.as_state_machine()):  # type: ignore[misc]  # made at run time
        def before_call(self, case: Case[Any]) -> None:
            case.headers["X-Api-Key"] = environment["HEYGEN_API_KEY"]

        def after_call(self, response: Any, case: Case[Any]) -> None:
            statuses[case.operation.definition.raw["operationId"], response.status_code] += 1

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {"base_url": environment["HEYGEN_API_BASE"]}

    Workflow.run(settings=settings(max_examples=40, deadline=None, stateful_step_count=6))
    assert statuses["getTranslation", 200], statuses
    assert statuses["statuses", 200], statuses


@pytest.mark.anyio
async def test_heygen_requests_of_a_run_conform_to_the_specification(tmp_path: Path) -> None:
    received: list[Request] = []
    ids = [f"clip-{number}" for number in range(230)]
    special = ["id-slow", "id-missing", "id-failed", "id-forbidden", "id-latelink", "år~ %2F,+ø"]
    async with Sandbox(SandboxOptions(heygen_ids=tuple(ids), heygen_running=0.3)) as sandbox:
        sandbox.on_request = received.append
        await run_rows(sandbox, tmp_path, map(heygen_row, ids + special))
    operations = Counter(map(HEYGEN.check_request, requests_to("heygen", received)))
    assert operations.keys() == {"getTranslation", "listTranslations", "statuses"}
