"""The sandbox conforms to the two API documents that the project started from."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.sandbox import Sandbox
from tests.sandbox.client import sandbox_client

SEEDS = Path(__file__).parent / "seeds"


def corrected_document() -> dict[str, Any]:
    """Return the caption document with two corrections.

    Its own example has `error: null`, which its schema forbids. And it describes no response
    other than 200, while every API has errors.
    """
    document: dict[str, Any] = json.loads((SEEDS / "heygen_caption.json").read_text())
    responses = document["paths"]["/v2/video_translate/caption"]["get"]["responses"]
    fields = responses["200"]["content"]["application/json"]["schema"]["properties"]
    fields["error"]["type"] = ["string", "null"]
    responses["4XX"] = {"description": "An error."}
    return document


schema = schemathesis.openapi.from_dict(corrected_document())


@schema.parametrize()
@settings(suppress_health_check=list(HealthCheck))
def test_caption_route_conforms_to_its_document(case: Case[Any], threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    case.headers["x-api-key"] = environment["HEYGEN_API_KEY"]
    case.call_and_validate(base_url=environment["HEYGEN_API_BASE"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "keyword", ["plain", "nocaption", "emptylink", "failed", "latelink", "slow"]
)
async def test_caption_response_of_each_keyword_conforms_to_the_schema(keyword: str) -> None:
    import jsonschema_rs

    responses = corrected_document()["paths"]["/v2/video_translate/caption"]["get"]["responses"]
    validator = jsonschema_rs.validator_for(
        responses["200"]["content"]["application/json"]["schema"]
    )
    async with sandbox_client() as client:
        path = f"/v2/video_translate/caption?video_translate_id=id-{keyword}&caption_type=vtt"
        response = await client.heygen(path)
    assert response.status == 200
    validator.validate(response.json)


def assert_covers(document: Any, example: Any, path: str = "$") -> None:
    """Check that everything in the example is in the document, with the same type."""
    assert type(document) is type(example), path
    if isinstance(example, dict):
        assert example.keys() <= document.keys(), path
        for name, value in example.items():
            assert_covers(document[name], value, f"{path}.{name}")


@pytest.mark.anyio
async def test_completed_job_has_the_fields_of_the_guide() -> None:
    example = json.loads((SEEDS / "mux_completed_job.json").read_text())
    async with sandbox_client() as client:
        created = await client.create("YOUR_ASSET_ID", track_id="YOUR_TRACK_ID")
        assert created.status == 202
        assert created.data["status"] == "pending"
        assert created.data["units_consumed"] == 0
        assert "outputs" not in created.data
        await asyncio.sleep(10)
        job = (await client.get_job(created.data["id"])).json
    assert_covers(job, example)
    for name in ("workflow", "status", "parameters"):
        assert job["data"][name] == example["data"][name]
    assert job["data"]["outputs"]["track_id"] == "YOUR_TRACK_ID"
    assert job["data"]["outputs"].keys() == example["data"]["outputs"].keys()
