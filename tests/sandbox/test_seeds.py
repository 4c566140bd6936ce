"""The sandbox against the two API documents that everything starts from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.sandbox import Sandbox, SandboxOptions
from tests.sandbox.client import asking

SEEDS = Path(__file__).parent / "seeds"


def corrected() -> dict[str, Any]:
    """The caption document with two corrections that it needs itself.

    Its own example has `error: null`, which its schema forbids; and it names no answer
    but 200, while every API has errors.
    """
    document: dict[str, Any] = json.loads((SEEDS / "heygen_caption.json").read_text())
    responses = document["paths"]["/v2/video_translate/caption"]["get"]["responses"]
    fields = responses["200"]["content"]["application/json"]["schema"]["properties"]
    fields["error"]["type"] = ["string", "null"]
    responses["4XX"] = {"description": "An error."}
    return document


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own, since schemathesis asks synchronously."""
    sandbox = Sandbox(SandboxOptions())
    up, down = Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with sandbox:
            up.set()
            await down.wait()

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert up.wait(10)
    yield sandbox
    loops[0].call_soon_threadsafe(down.set)
    thread.join()


schema = schemathesis.openapi.from_dict(corrected())


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_caption_route_obeys_its_document(case: Case[Any], served: Sandbox) -> None:
    environment = served.environment()
    case.headers["x-api-key"] = environment["HEYGEN_API_KEY"]
    case.call_and_validate(base_url=environment["HEYGEN_API_BASE"])


@pytest.mark.anyio
@pytest.mark.parametrize("word", ["plain", "nocaption", "emptylink", "failed", "latelink", "slow"])
async def test_every_kind_of_caption_answer_obeys_the_schema(word: str) -> None:
    import jsonschema_rs

    responses = corrected()["paths"]["/v2/video_translate/caption"]["get"]["responses"]
    validator = jsonschema_rs.validator_for(
        responses["200"]["content"]["application/json"]["schema"]
    )
    async with asking() as client:
        path = f"/v2/video_translate/caption?video_translate_id=id-{word}&caption_type=vtt"
        reply = await client.heygen(path)
    assert reply.status == 200
    validator.validate(reply.json)


def assert_covers(found: Any, example: Any, at: str = "$") -> None:
    """Everything in the example is in what was found, with the same type."""
    assert type(found) is type(example), at
    if isinstance(example, dict):
        assert example.keys() <= found.keys(), at
        for name, value in example.items():
            assert_covers(found[name], value, f"{at}.{name}")


@pytest.mark.anyio
async def test_a_completed_job_is_as_in_the_guide() -> None:
    example = json.loads((SEEDS / "mux_completed_job.json").read_text())
    async with asking() as client:
        created = await client.create("YOUR_ASSET_ID", track_id="YOUR_TRACK_ID")
        assert created.status == 202
        assert created.data["status"] == "pending"
        assert created.data["units_consumed"] == 0
        assert "outputs" not in created.data
        await asyncio.sleep(10)
        found = (await client.job(created.data["id"])).json
    assert_covers(found, example)
    for name in ("workflow", "status", "parameters"):
        assert found["data"][name] == example["data"][name]
    assert found["data"]["outputs"]["track_id"] == "YOUR_TRACK_ID"
    assert found["data"]["outputs"].keys() == example["data"]["outputs"].keys()
