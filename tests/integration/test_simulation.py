"""Runs that are killed and resumed on virtual time, by seed.

Each seed draws faults, limits and the moments of the kills. Safety is checked after every
kill, liveness at the end: with the faults off, every row ends. A failing seed prints the command
that replays it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchcap.app.run import run as run_rows
from batchcap.captions import webvtt
from batchcap.domain.languages import primary_language
from batchcap.domain.models import Row
from batchcap.reports.metrics import Metrics
from batchcap.sandbox import FAULTS, Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import find_asset
from batchcap.storage.ledger import open_ledger, open_reader
from batchcap.storage.sources import source_file
from tests.harness.clock import now
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import ledger_sql, unlimited_settings

pytestmark = pytest.mark.anyio

SEEDS: list[Any] = [
    int(seed) for seed in os.environ.get("BATCHCAP_SEEDS", "").split(",") if seed
] or [
    *range(200),
    *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(200, 3000)),
]
RATES = {"mux.write": 4.0, "mux.read": 9.0, "heygen": 7.0}
CHOICE = sorted(FAULTS.keys() - {"job_stuck"})


JOB_ERRORS = {"job_failed", "job_cancelled"}
NO_TRACK_ERRORS = {*JOB_ERRORS, "captions_not_enabled", "link_dead"}
"""Of a row whose job adds no track: a link that is missing or has expired was the only way."""
SIBLING_ERRORS = {*JOB_ERRORS, "language_exists"}
"""Of a row whose sibling may have been uploaded before, or while its job ran."""


def allowed_errors(row: Row, options: SandboxOptions) -> set[str]:
    """Return the errors that a row may have in the end, when nothing is faulty any more."""
    if row.params.get("upload_to_mux") is False:
        return NO_TRACK_ERRORS
    if row.target in {"pt-BR", "pt-PT"} and row.source_id in SIBLING_FILMS:
        loses_track = options.upload_conflict == "no_track"
        return SIBLING_ERRORS | NO_TRACK_ERRORS if loses_track else SIBLING_ERRORS
    return JOB_ERRORS


SIBLING_FILMS = {f"film-{number}" for number in range(3)}
"""The assets with rows for two languages that Mux allows only one track."""


ENGLISH: dict[str, Any] = {"from_language": "en"}


def source_track(source_id: str) -> dict[str, Any]:
    """Return the parameter that names an asset's source track."""
    asset = find_asset(source_id)
    assert asset is not None
    return {"track_id": asset.tracks[0].id}


class SeededRun:
    """The options, rows and kills that a seed decides."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.lives = [chance.expovariate(1 / 9) for _ in range(chance.randrange(5))]
        chosen = chance.sample(CHOICE, chance.randrange(1, 8))
        self.options = SandboxOptions(
            seed=seed,
            faults={fault: chance.choice([0.02, 0.1, 0.4]) for fault in chosen},
            duplicates=chance.choice(["refuse_active", "refuse_any", "allow"]),
            job_seconds=chance.choice([0.5, 5.0]),
            job_seconds_max=30.0,
            gzip=chance.random() < 0.5,
            answer_seconds=chance.choice([0.0, 0.3]),
            retry_after_seconds=chance.choice([1, 5]),
            link_seconds=chance.choice([20.0, 7 * 86400.0]),
            list_order=chance.choice(["newest", "oldest"]),
            create_limit=chance.choice([None, 5, 12]),
            upload_conflict=chance.choice(["errored", "no_track"]),
            list_lag_seconds=chance.choice([0.0, 3.0]),
            detail_lag_seconds=chance.choice([0.0, 60.0]),
            track_settle_seconds=chance.choice([0.5, 120.0]),
        )
        self.fetches_sources = seed % 3 == 0
        self.rows: list[Row] = []
        for number in range(7):
            track: dict[str, Any] = source_track(f"film-{number}") if number % 2 else ENGLISH
            self.rows += [mux_row(f"film-{number}", tag, **track) for tag in ("es", "pt-BR")]
        for source_id in sorted(SIBLING_FILMS):
            # Mux allows a track in pt-BR or in pt-PT. An import refuses such rows of one ledger,
            # but another program may upload one of them, too.
            self.rows.append(mux_row(source_id, "pt-PT", **source_track(source_id)))
            self.rows.append(mux_row(source_id, "es-MX", upload_to_mux=False, **ENGLISH))
        self.rows += [heygen_row(f"video-{number}") for number in range(12)]


async def live(sandbox: Sandbox, out: Path, fate: SeededRun, seconds: float) -> None:
    """Run to the end, or until a simulated kill -9 after `seconds`."""
    ledger = open_ledger(out, create=True, now=now)
    ledger.import_rows([("test", fate.rows)], skip_invalid=False)
    settings = unlimited_settings(out, rates=RATES, settle=10.0, fetch_sources=fate.fetches_sources)
    with anyio.CancelScope() as life:

        async def die() -> None:
            await anyio.sleep(seconds)
            ledger.close()  # what is not committed now never will be
            life.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(die)
            await run_rows(
                settings,
                ledger,
                sandbox.environment(),
                Metrics(),
                sandbox=True,
                now=now,
                threads=False,
            )
            group.cancel_scope.cancel()
    ledger.close()


def safe(sandbox: Sandbox, out: Path, ended: dict[str, Any], deaths: list[float]) -> None:
    """Check that no guarantee was broken so far. `ended` collects the rows that have ended."""
    paid: Counter[tuple[str, str]] = Counter()
    for job in sandbox.request_log.creates:
        if job.status(sandbox.now()) not in {"errored", "cancelled"}:
            paid[job.request.asset_id, job.request.language] += 1
    assert not [caption for caption, count in paid.items() if count > 1], paid
    tracks = [
        (job.request.asset_id, primary_language(job.request.language))
        for job in sandbox.request_log.creates
        if job.uploaded_track(sandbox.now())
    ]
    assert len(set(tracks)) == len(tracks), "two tracks of one language on an asset"
    for bucket, limit in RATES.items():
        assert sandbox.request_log.worst_second(bucket) <= limit
        assert not inside_a_pause(sandbox, bucket, deaths)
    assert not sandbox.request_log.leaks
    with closing(open_reader(out)) as ledger:
        for result in ledger.results():
            before = ended.get(result["key"])
            assert before in {None, result["state"]}, f"{result['key']} was {before}"
            if result["state"] != "pending":
                ended[result["key"]] = result["state"]
            if result["state"] == "done":
                data = (out / result["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == result["sha256"]


def inside_a_pause(sandbox: Sandbox, bucket: str, deaths: list[float]) -> list[float]:
    """Return the requests sent during a Retry-After that the run had received before its kill."""
    options, until, since = sandbox.options, 0.0, 0.0
    inside = []
    for entry in (request for request in sandbox.request_log.requests if request.bucket == bucket):
        if since < entry.time < until - 0.01:
            inside.append(entry.time)
        answered = entry.time + options.answer_seconds + 0.01
        if entry.status == 429 and not any(entry.time <= death <= answered for death in deaths):
            since = max(since, answered)
            until = max(until, entry.time + options.retry_after_seconds)
    return inside


def complete(sandbox: Sandbox, out: Path, rows: list[Row]) -> None:
    """Check that every row ended, and that the ledger has every job that was paid for.

    A row whose create got no response, and whose look-up failed six times, is failed as
    unavailable: its job is adopted only when the row is tried again. Without faults there is no
    such row. Under a units limit the rows without a job are pending, and their error says why.
    """
    with closing(open_reader(out)) as ledger:
        results = list(ledger.results())
    recorded_jobs = {job for (job,) in ledger_sql(out, "SELECT job_id FROM creates")}
    assert [result["key"] for result in results] == [row.key for row in rows]
    unavailable = {
        (result["source_id"], result["language"])
        for result in results
        if result["error"] and result["error"]["code"] == "unavailable"
    }
    assert sandbox.options.faults or not unavailable
    for job in sandbox.request_log.creates:
        is_unknown = (job.request.asset_id, job.request.language) in unavailable
        assert job.id in recorded_jobs or is_unknown, f"{job.id} was paid and is not recorded"
    pending = [result for result in results if result["state"] not in {"done", "failed"}]
    assert sandbox.options.create_limit is not None or not pending, pending
    for result in pending:
        assert result["error"]["code"] == "units_exhausted"
        jobs = sandbox.request_log.creates_for(result["source_id"], result["language"])
        assert not [job for job in jobs if job.is_completed(sandbox.now())], "paid and not fetched"
    files = {str(path.relative_to(out)) for path in out.rglob("*.vtt")}
    files = {path for path in files if not path.startswith(".batchcap/sources/")}
    assert files == {result["path"] for result in results if result["state"] == "done"}
    assert not list(out.rglob("*.part"))


def has_sources(out: Path) -> None:
    """Check that every Mux caption has its source captions, which are complete."""
    with closing(open_reader(out)) as ledger:
        for result in ledger.results():
            if result["provider"] == "mux" and result["state"] == "done":
                path = source_file(out, "mux", result["source_id"])
                assert path is not None, f"{result['key']} has no source captions"
                assert webvtt.check(path.read_bytes())


async def simulate(out: Path, seed: int) -> None:
    fate, ended, deaths = SeededRun(seed), dict[str, Any](), list[float]()
    async with Sandbox(fate.options) as sandbox:
        for seconds in fate.lives:
            await live(sandbox, out, fate, seconds)
            deaths.append(asyncio.get_running_loop().time())
            safe(sandbox, out, ended, deaths)
        await live(sandbox, out, fate, 1e9)
        safe(sandbox, out, ended, deaths)
        complete(sandbox, out, fate.rows)
        if fate.options.create_limit is not None:
            sandbox.change(create_limit=None)
            await live(sandbox, out, fate, 1e9)
            safe(sandbox, out, ended, deaths)
            complete(sandbox, out, fate.rows)
        sandbox.change(faults={})
        with closing(open_ledger(out)) as ledger:
            ledger.requeue_failed(None)
        await live(sandbox, out, fate, 1e9)
        safe(sandbox, out, {}, deaths)
        complete(sandbox, out, fate.rows)
        if fate.fetches_sources:
            has_sources(out)
        with closing(open_reader(out)) as ledger:
            lost = [result for result in ledger.results() if result["state"] != "done"]
        rows = {row.key: row for row in fate.rows}
        for result in lost:
            code = result["error"]["code"]
            assert code in allowed_errors(rows[result["key"]], fate.options), result


@pytest.mark.parametrize("seed", SEEDS)
async def test_simulation_with_kills_and_faults_keeps_every_guarantee(
    tmp_path: Path, seed: int
) -> None:
    try:
        await simulate(tmp_path, seed)
    except (AssertionError, sqlite3.Error) as error:
        error.add_note(f"replay: BATCHCAP_SEEDS={seed} pytest tests/integration/test_simulation.py")
        raise
