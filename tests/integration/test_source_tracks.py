"""The choice of the source track, against a sandbox whose jobs upload tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchcap.domain.models import JobRequest, Row
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import find_asset
from tests.harness.provider import running_provider
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


def sources(sandbox: Sandbox) -> set[str]:
    """The source track of every job that the sandbox accepted."""
    return {job.request.track_id for job in sandbox.request_log.creates}


@pytest.mark.parametrize("params", [{}, {"from_language": "en"}])
async def test_source_track_second_run_with_more_languages_keeps_the_first_choice(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [mux_row("film", "es", **params)])
        rows = [mux_row("film", tag, **params) for tag in ("es", "ja", "de")]
        result = await run_rows(sandbox, tmp_path, rows)
        assert set(result.states().values()) == {"done"}
        assert len(sources(sandbox)) == 1


async def test_source_track_manifest_sorted_by_language_is_found_for_every_row(
    tmp_path: Path,
) -> None:
    rows = [mux_row(f"film-{n}", tag) for tag in ("es", "ja", "de") for n in range(8)]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, windows={"mux": 4})
        assert set(result.states().values()) == {"done"}
        assert len(sources(sandbox)) == 8


@pytest.mark.parametrize("name", [None, "Español"])
async def test_source_track_in_another_folder_is_never_a_translation(
    tmp_path: Path, name: str | None
) -> None:
    params = {"track_name": name} if name else {}
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path / "a", [mux_row("film", "es", **params)])
        result = await run_rows(sandbox, tmp_path / "b", [mux_row("film", "ja")])
        assert result.states() == {"mux:film:ja": "done"}
        assert len(sources(sandbox)) == 1


async def test_source_track_language_of_a_translation_is_refused_unless_named(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path / "a", [mux_row("film", "es")])
        (uploaded,) = [job.uploaded_track_id for job in sandbox.request_log.creates]
        rows: list[Row] = [
            mux_row("film", "ca", from_language="es"),
            mux_row("film", "gl", track_id=uploaded),
        ]
        result = await run_rows(sandbox, tmp_path / "b", rows)
    assert result.states() == {"mux:film:ca": "track_not_found", "mux:film:gl": "done"}
    assert "es (ready, a translation)" in result.by_key["mux:film:ca"]["error"]["message"]


async def test_source_track_second_uploaded_track_leaves_the_choice_to_the_user(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, [mux_row("film-has-fr", "ja")])
    assert result.states() == {"mux:film-has-fr:ja": "track_not_found"}


async def test_source_track_that_is_gone_is_chosen_anew() -> None:
    asset = find_asset("film")
    assert asset is not None
    async with Sandbox(SandboxOptions()) as sandbox, running_provider(sandbox, "mux") as mux:
        mux.notes.set("mux.source.film.", "deleted")
        prepared = await mux.provider.prepare(mux_row("film"))
    assert isinstance(prepared, JobRequest)
    assert prepared.body["parameters"]["track_id"] == asset.tracks[0].id
    assert mux.notes.get("mux.source.film.") == asset.tracks[0].id
