"""Rows that are taken back, against the sandbox: what is cancelled, looked up and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchcap.app.forget import Forgetter
from batchcap.domain.errors import FatalError
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import Job, JobRequest, JobState, Row
from batchcap.domain.protocols import JobControl
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger
from tests.harness.clock import now
from tests.harness.provider import ProviderHarness, running_provider, start_job
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

ALL = ForgetScope(key="*")


class ForgetHarness:
    """A ledger and a provider, and the lines that a user would see."""

    def __init__(self, ledger: Ledger, mux: ProviderHarness) -> None:
        self.ledger, self.mux = ledger, mux
        self.lines: list[str] = []
        providers = {"mux": mux.provider}
        self.forgetter = Forgetter(ledger, providers, ALL, self.lines.append, settle=60.0, now=now)

    async def start(self, *rows: Row) -> list[str]:
        """Import rows and create their jobs, as a run that was stopped; returns the job ids."""
        self.ledger.import_rows([("m.csv", list(rows))], skip_invalid=False)
        ids = []
        for pending in await self.ledger.pending("mux", 0, 100):
            await self.ledger.record_intent(pending.row)
            job = await start_job(self.mux.provider, pending.row)
            assert job.id is not None
            await self.ledger.record_job(pending.row, job.id)
            ids.append(job.id)
        return ids

    def holds(self) -> dict[Hold, int]:
        return self.ledger.count_holds(ALL)


@asynccontextmanager
async def forget_harness(sandbox: Sandbox, out: Path) -> AsyncIterator[ForgetHarness]:
    with closing(open_ledger(out, create=True, now=now)) as ledger:
        async with running_provider(sandbox, "mux") as mux:
            yield ForgetHarness(ledger, mux)


def statuses(sandbox: Sandbox) -> list[str]:
    return [job.status(sandbox.now()) for job in sandbox.request_log.creates]


async def test_cancel_of_a_running_job_frees_its_row(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        (job_id, _) = await harness.start(mux_row("film-stuck", "es"), mux_row("film-stuck", "ja"))
        assert harness.holds() == {Hold.RUNNING: 2}
        assert harness.ledger.forget(ALL) == 0
        await harness.forgetter.cancel()
        assert statuses(sandbox) == ["cancelled", "cancelled"]
        assert harness.holds() == {Hold.NONE: 2}
        assert f"cancelled: mux:film-stuck:es: job {job_id}" in harness.lines
        assert harness.forgetter.result.cancelled == 2
        assert harness.ledger.forget(ALL) == 2


async def test_cancel_of_a_job_that_completed_keeps_its_row_for_the_next_run(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions(job_seconds=5, job_seconds_max=9)) as sandbox:
        async with forget_harness(sandbox, tmp_path) as harness:
            (job_id,) = await harness.start(mux_row("film"))
            await anyio.sleep(10)
            await harness.forgetter.cancel()
            assert harness.lines == [f"completed: mux:film:es: job {job_id}"]
            assert harness.holds() == {Hold.PAID: 1}
            assert harness.ledger.forget(ALL) == 0
            assert harness.ledger.totals().units_consumed > 0
        result = await run_rows(sandbox, tmp_path)
        assert result.states() == {"mux:film:es": "done"}
        assert len(sandbox.request_log.creates) == 1


async def test_cancel_of_a_job_whose_detail_lags_behind_takes_the_list(tmp_path: Path) -> None:
    options = SandboxOptions(job_seconds=5, job_seconds_max=9, detail_lag_seconds=60)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(mux_row("film"), mux_row("other-stuck"))
        await anyio.sleep(10)
        await harness.forgetter.cancel()
        assert sorted(line.partition(":")[0] for line in harness.lines) == [
            "cancelled",
            "completed",
        ]
        assert harness.holds() == {Hold.PAID: 1, Hold.NONE: 1}


@pytest.mark.parametrize("asset", ["film-fails", "film-cancelled"])
async def test_cancel_of_a_job_that_ended_without_a_caption_frees_its_row(
    tmp_path: Path, asset: str
) -> None:
    options = SandboxOptions(job_seconds=5, job_seconds_max=9)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(mux_row(asset))
        await anyio.sleep(10)
        await harness.forgetter.cancel()
        assert harness.holds() == {Hold.NONE: 1}


async def test_cancel_of_a_job_that_mux_deleted_keeps_its_row(tmp_path: Path) -> None:
    options = SandboxOptions(job_lifetime=100)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(mux_row("film-stuck"))
        await anyio.sleep(200)
        await harness.forgetter.cancel()
        assert harness.holds() == {Hold.UNKNOWN: 1}
        assert harness.ledger.forget(ALL) == 0


async def test_cancel_of_a_job_that_mux_does_not_show_yet_cancels_nothing(tmp_path: Path) -> None:
    options = SandboxOptions(faults={"not_found_after_create": 1.0}, hidden_seconds=30.0)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        (job_id,) = await harness.start(mux_row("film-stuck"))
        await harness.forgetter.cancel()
        assert harness.lines == [f"missing: mux:film-stuck:es: job {job_id}"]
        assert "cancelled" not in statuses(sandbox)


@pytest.mark.parametrize(
    "faults",
    [
        {"throttle": 1.0},
        {"server_error": 1.0},
        {"reset": 1.0},
        {"html_error": 0.5, "cut_body": 0.5},
    ],
)
async def test_cancel_under_faults_is_carried_out(tmp_path: Path, faults: dict[str, float]) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(*(mux_row(f"film-{n}-stuck") for n in range(10)))
        sandbox.change(faults=faults)
        await harness.forgetter.cancel()
        assert statuses(sandbox) == ["cancelled"] * 10
        assert harness.holds() == {Hold.NONE: 10}


async def test_cancel_killed_before_it_is_recorded_loses_nothing(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        (job_id,) = await harness.start(mux_row("film-stuck"))
        assert isinstance(harness.mux.provider, JobControl)
        job = await harness.mux.provider.cancel_job(mux_row("film-stuck"), job_id)
        assert job.state is JobState.CANCELLED  # and nothing is recorded
        assert harness.holds() == {Hold.RUNNING: 1}
        await harness.forgetter.cancel()
        assert harness.holds() == {Hold.NONE: 1}


async def test_row_of_a_cancelled_job_that_was_not_recorded_fails_in_a_run(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        async with forget_harness(sandbox, tmp_path) as harness:
            (job_id,) = await harness.start(mux_row("film-stuck"))
            assert isinstance(harness.mux.provider, JobControl)
            await harness.mux.provider.cancel_job(mux_row("film-stuck"), job_id)
        result = await run_rows(sandbox, tmp_path)
        assert result.states() == {"mux:film-stuck:es": "job_cancelled"}


async def test_unanswered_create_is_looked_up_after_settle_before_its_row_is_free(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        rows = [mux_row("film-stuck"), mux_row("absent-stuck")]
        harness.ledger.import_rows([("m.csv", rows)], skip_invalid=False)
        for pending in await harness.ledger.pending("mux", 0, 2):
            await harness.ledger.record_intent(pending.row)
            if pending.row.source_id == "film-stuck":
                await start_job(harness.mux.provider, pending.row)
        assert harness.holds() == {Hold.UNKNOWN: 2}
        before = now()
        await harness.forgetter.cancel()
        assert now() - before >= 60
        assert harness.holds() == {Hold.NONE: 2}
        assert statuses(sandbox) == ["cancelled"]
        assert harness.ledger.forget(ALL) == 2


async def test_job_that_a_look_up_finds_completed_keeps_its_row(tmp_path: Path) -> None:
    options = SandboxOptions(job_seconds=5, job_seconds_max=9)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        harness.ledger.import_rows([("m.csv", [mux_row("film")])], skip_invalid=False)
        (pending,) = await harness.ledger.pending("mux", 0, 1)
        await harness.ledger.record_intent(pending.row)
        await start_job(harness.mux.provider, pending.row)
        await harness.forgetter.cancel()
        assert harness.holds() == {Hold.PAID: 1}


async def test_cancel_refused_by_the_account_raises_and_keeps_what_was_recorded(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(mux_row("film-stuck"))
        sandbox.change(mux_token_secret="another")
        with pytest.raises(BaseExceptionGroup) as refused:
            await harness.forgetter.cancel()
        assert refused.value.subgroup(FatalError)
        assert harness.holds() == {Hold.RUNNING: 1}


async def test_cancel_that_gets_no_response_at_all_is_counted(tmp_path: Path) -> None:
    options = SandboxOptions(fault_streak=1000)
    async with Sandbox(options) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        await harness.start(mux_row("film-stuck"))
        sandbox.change(faults={"cut_body": 1.0})
        await harness.forgetter.cancel()
        assert harness.forgetter.result.unavailable == 1
        assert harness.holds() == {Hold.RUNNING: 1}


async def test_task_that_was_taken_back_is_created_again_by_a_later_run(
    tmp_path: Path,
) -> None:
    options = SandboxOptions(job_seconds=1000, job_seconds_max=1000)
    row = mux_row("film")
    async with Sandbox(options) as sandbox:
        async with forget_harness(sandbox, tmp_path) as harness:
            await harness.start(row)
            await harness.forgetter.cancel()
            assert harness.ledger.forget(ALL) == 1
        sandbox.change(job_seconds=5, job_seconds_max=9, faults={"reset": 1.0}, fault_streak=1)
        result = await run_rows(sandbox, tmp_path, [row])
        assert result.states() == {row.key: "done"}
        assert statuses(sandbox) == ["cancelled", "completed"]


async def made_and_added(sandbox: Sandbox, out: Path, *rows: Row) -> Any:
    """Run rows to their end; returns the results by key."""
    return (await run_rows(sandbox, out, rows)).by_key


async def text_tracks(sandbox: Sandbox, source_id: str) -> set[str]:
    async with running_provider(sandbox, "mux") as mux:
        asset = await mux.provider._assets.get(source_id)  # type: ignore[attr-defined]
        return {track.id for track in asset.tracks}


async def test_remove_tracks_deletes_what_the_jobs_of_the_ledger_added_and_nothing_else(
    tmp_path: Path,
) -> None:
    rows = [
        mux_row("film", "es"),
        mux_row("film-has-ja", "ja"),
        mux_row("other", "es", upload_to_mux=False),
        heygen_row("clip"),
    ]
    async with Sandbox(SandboxOptions()) as sandbox:
        results = await made_and_added(sandbox, tmp_path, *rows)
        assert {result["state"] for result in results.values()} == {"done"}
        before = {name: await text_tracks(sandbox, name) for name in ("film", "film-has-ja")}
        (uploaded, _) = [job.uploaded_track_id for job in sandbox.request_log.creates]
        async with forget_harness(sandbox, tmp_path) as harness:
            await harness.forgetter.remove_tracks()
            assert sorted(line.partition(":")[0] for line in harness.lines) == ["deleted", "kept"]
            assert f"deleted: mux:film:es: {uploaded} of film" in harness.lines
            assert (
                harness.forgetter.result.tracks_deleted,
                harness.forgetter.result.tracks_kept,
            ) == (
                1,
                1,
            )
            assert harness.holds() == {Hold.DONE: 4}
            harness.lines.clear()
            await harness.forgetter.remove_tracks()
            assert f"gone: mux:film:es: {uploaded}: it was gone already" in harness.lines
        assert await text_tracks(sandbox, "film") == before["film"] - {uploaded}
        assert await text_tracks(sandbox, "film-has-ja") == before["film-has-ja"]
        assert sandbox.request_log.count("mux.delete") == 2
    assert (tmp_path / "mux/film.es.vtt").exists()


async def test_remove_tracks_keeps_that_of_a_job_that_mux_deleted(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(job_lifetime=10_000)) as sandbox:
        await made_and_added(sandbox, tmp_path, mux_row("film"))
        before = await text_tracks(sandbox, "film")
        await anyio.sleep(20_000)
        async with forget_harness(sandbox, tmp_path) as harness:
            await harness.forgetter.remove_tracks()
            (line,) = harness.lines
            assert line.startswith("kept: mux:film:es: its track: Mux does not know job ")
        assert await text_tracks(sandbox, "film") == before


async def adopt_foreign_job(harness: ForgetHarness, row: Row) -> str:
    """Import a row with a job that another program created; returns its id."""
    prepared = await harness.mux.provider.prepare(row)
    assert isinstance(prepared, JobRequest)
    foreign = JobRequest(row, {**prepared.body, "passthrough": "not batchcap's"})
    async with harness.mux.provider.send_slot() as slot:
        job = await slot.create(foreign)
    assert job.id is not None
    harness.ledger.import_rows([("m.csv", [row])], skip_invalid=False)
    await harness.ledger.record_intent(row)
    await harness.ledger.record_job(row, job.id)
    return job.id


async def test_cancel_leaves_another_programs_job_alone(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        job_id = await adopt_foreign_job(harness, mux_row("film-stuck"))
        await harness.forgetter.cancel()
        assert harness.lines == [
            f"not changed: mux:film-stuck:es: job {job_id} was created by another program"
        ]
        assert sandbox.request_log.count("mux.cancel") == 0
        assert harness.holds() == {Hold.RUNNING: 1}


async def test_remove_tracks_keeps_that_of_another_programs_job(tmp_path: Path) -> None:
    row = mux_row("film", "es")
    async with Sandbox(SandboxOptions()) as sandbox, forget_harness(sandbox, tmp_path) as harness:
        job_id = await adopt_foreign_job(harness, row)
        await anyio.sleep(1000)
        ended = Job(id=job_id, state=JobState.COMPLETED, units=1)
        await harness.ledger.record_job_ended(row, ended)
        await harness.forgetter.remove_tracks()
        assert harness.lines == [
            f"kept: mux:film:es: its track: job {job_id} was created by another program"
        ]
        assert sandbox.request_log.count("mux.delete") == 0
