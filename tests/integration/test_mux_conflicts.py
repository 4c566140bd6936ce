"""Creates that Mux refuses because of a track or a job that exists."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anyio
import pytest

from batchcap.domain.models import JobRequest, Row
from batchcap.sandbox import Sandbox, SandboxOptions
from tests.harness.provider import running_provider, start_job
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


async def test_sibling_language_refused_by_mux_is_explained_by_its_rule(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path / "a", [mux_row("film", "pt-BR")])
        result = await run_rows(sandbox, tmp_path / "b", [mux_row("film", "pt-PT")])
        assert len(sandbox.request_log.creates) == 1
    assert result.states() == {"mux:film:pt-PT": "language_exists"}
    message = result.by_key["mux:film:pt-PT"]["error"]["message"]
    assert "pt-BR" in message
    assert "upload_to_mux=false" in message


async def test_sibling_language_without_upload_is_made(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path / "a", [mux_row("film", "pt-BR")])
        row = mux_row("film", "pt-PT", upload_to_mux=False)
        result = await run_rows(sandbox, tmp_path / "b", [row])
    assert result.states() == {"mux:film:pt-PT": "done"}


async def test_track_name_in_use_is_explained(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        row = mux_row("film", "es", track_name="english")
        result = await run_rows(sandbox, tmp_path, [row])
    assert result.states() == {"mux:film:es": "language_exists"}
    assert "English" in result.by_key["mux:film:es"]["error"]["message"]


async def test_asset_with_drm_only_is_explained(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, [mux_row("id-drm")])
    message = result.by_key["mux:id-drm:es"]["error"]["message"]
    assert "no public or signed playback id (drm)" in message


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_conflict_adopts_the_active_job_with_equal_parameters(
    order: Literal["newest", "oldest"],
) -> None:
    def row(term: str) -> Row:
        return mux_row("film", track_id="t", upload_to_mux=False, never_translate=[term])

    options = SandboxOptions(list_order=order, job_seconds=100.0, job_seconds_max=200.0)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "mux") as mux:
        await start_job(mux.provider, mux_row("film", track_id="t", upload_to_mux=False))
        await anyio.sleep(600)
        active = [await start_job(mux.provider, row(term)) for term in ("A", "B", "C")]
        adopted = await start_job(mux.provider, row("B"))
        assert adopted.id == active[1].id
        assert len(sandbox.request_log.creates) == 4


@pytest.mark.parametrize("rule", ["fail", "replace_all"])
@pytest.mark.parametrize("is_named", [False, True])
async def test_create_never_replaces_the_track_that_it_translates(
    tmp_path: Path, rule: str, is_named: bool
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, running_provider(sandbox, "mux") as mux:
        request = await mux.provider.prepare(mux_row("film"))
        assert isinstance(request, JobRequest)
        named = {"track_id": request.body["parameters"]["track_id"]} if is_named else {}
        row = mux_row("film", "en-GB", replace_existing_tracks=rule, **named)
        result = await run_rows(sandbox, tmp_path, [row])
        assert sandbox.request_log.creates == []
    assert result.states() == {"mux:film:en-GB": "language_exists"}
    message = result.by_key["mux:film:en-GB"]["error"]["message"]
    assert "upload_to_mux=false" in message
    assert "--on-existing takes or skips a track in en-GB itself only" in message
