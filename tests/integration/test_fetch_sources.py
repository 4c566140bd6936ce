"""`--fetch-sources`: one request a source, counted at the sandbox, and no row that notices."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from batchcap.app.plan import Planner
from batchcap.domain.events import Event, RowEnded, Warned
from batchcap.domain.models import Row
from batchcap.domain.shutdown import ShutdownToken
from batchcap.reports.plan import Plan, as_lines
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import find_asset
from batchcap.storage.ledger import open_ledger, open_reader, scratch_ledger
from batchcap.storage.sources import source_failures, source_file
from tests.harness.clock import EPOCH, now, on_virtual_time
from tests.harness.observers import Recorder
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import ledger_sql, run_rows, unlimited_settings

pytestmark = pytest.mark.anyio

LANGUAGES = ("es", "ja", "de")


def track_of(source_id: str) -> str:
    """Return the id of the only text track that an asset has before any job."""
    asset = find_asset(source_id)
    assert asset is not None
    return asset.tracks[0].id


def requests(sandbox: Sandbox, source_id: str) -> list[int]:
    """Return the statuses of the requests for the source captions of an asset."""
    key = f"public_{source_id}/text/{track_of(source_id)}.vtt"
    return [request.status for request in sandbox.request_log.requests if request.key == key]


def asset_reads(sandbox: Sandbox) -> int:
    return sandbox.request_log.count("mux.asset")


def films(count: int) -> list[Row]:
    return [mux_row(f"film-{number}") for number in range(count)]


def failures(out: Path) -> dict[str, str]:
    with closing(open_reader(out)) as ledger:
        return {failure.source_id: failure.reason for failure in source_failures(ledger)}


@pytest.mark.parametrize("with_track", [True, False])
async def test_fetch_sources_of_three_languages_takes_one_request_an_asset(
    tmp_path: Path, with_track: bool
) -> None:
    films = [f"film-{number}" for number in range(4)]
    rows = [
        mux_row(film, language, **({"track_id": track_of(film)} if with_track else {}))
        for film in films
        for language in LANGUAGES
    ]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, fetch_sources=True)
        assert set(result.states().values()) == {"done"}
        assert [requests(sandbox, film) for film in films] == [[200]] * 4
        assert result.metrics.requests["downloads"] == len(rows) + len(films)
        assert asset_reads(sandbox) == len(films)
        again = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert not again.metrics.requests
    for film in films:
        path = source_file(tmp_path, "mux", film)
        assert path is not None
        assert f"[en] {film}".encode() in path.read_bytes()
    assert not failures(tmp_path)


async def test_run_without_fetch_sources_fetches_none(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [mux_row("film")])
        assert requests(sandbox, "film") == []
    assert source_file(tmp_path, "mux", "film") is None


async def test_fetch_sources_of_rows_that_are_done_needs_no_pending_row(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [mux_row("film", language) for language in LANGUAGES])
        result = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert requests(sandbox, "film") == [200]
        assert dict(result.metrics.requests) == {"mux.read": 1, "downloads": 1}
    assert source_file(tmp_path, "mux", "film") is not None


async def test_fetch_sources_file_that_was_removed_is_fetched_again(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [mux_row("film")], fetch_sources=True)
        path = source_file(tmp_path, "mux", "film")
        assert path is not None
        path.unlink()
        await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert requests(sandbox, "film") == [200, 200]
        assert path.exists()


@pytest.mark.parametrize(
    ("source_id", "reason"),
    [
        ("film-nosource", "the file host responded with 404"),
        ("film-badsource", "JSON, not WebVTT"),
        ("film-bigsource", "larger than 20000 bytes (--max-caption)"),
        ("film-signed", "set MUX_SIGNING_KEY and MUX_PRIVATE_KEY"),
    ],
)
async def test_fetch_sources_that_cannot_be_had_is_a_warning_and_the_row_is_done(
    tmp_path: Path, source_id: str, reason: str
) -> None:
    seen = Recorder()
    rows = [mux_row(source_id, language) for language in LANGUAGES]
    environment = {"MUX_SIGNING_KEY": ""}
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(
            sandbox,
            tmp_path,
            rows,
            environment,
            observer=seen,
            fetch_sources=True,
            max_caption=20_000,
        )
        count = len(requests(sandbox, source_id))
    assert set(result.states().values()) == {"done"}
    assert count == (0 if "signed" in source_id else 1)
    (warning,) = [event.message for event in seen.events if isinstance(event, Warned)]
    assert warning.startswith(f"mux: no source captions of {source_id}: ")
    assert reason in warning
    assert reason in failures(tmp_path)[source_id]
    assert source_file(tmp_path, "mux", source_id) is None


async def test_fetch_sources_with_many_missing_warns_of_a_few_and_counts_the_rest(
    tmp_path: Path,
) -> None:
    seen = Recorder()
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row(f"film-nosource-{number}") for number in range(30)]
        await run_rows(sandbox, tmp_path, rows, observer=seen, fetch_sources=True)
        assert sandbox.request_log.count("stream.track", status=404) == 30
    warnings = [event.message for event in seen.events if isinstance(event, Warned)]
    assert len(warnings) == 6
    assert warnings[-1] == "mux: 30 sources without captions; batchcap report names them"
    assert len(failures(tmp_path)) == 30


async def test_fetch_sources_from_a_host_that_is_down_gives_up_and_the_next_run_fetches(
    tmp_path: Path,
) -> None:
    seen, rows = Recorder(), [mux_row(f"film-{number}") for number in range(60)]
    async with Sandbox(SandboxOptions()) as sandbox:
        nowhere = {"MUX_STREAM_BASE_URL": "http://127.0.0.1:9"}
        result = await run_rows(sandbox, tmp_path, rows, nowhere, observer=seen, fetch_sources=True)
        assert set(result.states().values()) == {"done"}
        warnings = [event.message for event in seen.events if isinstance(event, Warned)]
        assert sum("no more source captions are fetched in this run" in w for w in warnings) == 1
        again = await run_rows(sandbox, tmp_path, fetch_sources=True)
    assert again.metrics.requests["downloads"] == 60
    assert not failures(tmp_path)


async def test_fetch_sources_of_a_row_that_failed_are_not_fetched(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, [mux_row("film-fails")], fetch_sources=True)
        assert result.states() == {"mux:film-fails:es": "job_failed"}
        assert requests(sandbox, "film-fails") == []


async def test_fetch_sources_beside_a_provider_without_source_captions(tmp_path: Path) -> None:
    rows = [heygen_row("video"), mux_row("film")]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, fetch_sources=True)
    assert set(result.states().values()) == {"done"}
    assert [path.name for path in (tmp_path / ".batchcap/sources").iterdir()] == ["mux"]


async def test_fetch_sources_of_rows_that_name_the_track_differently_shares_the_file(
    tmp_path: Path,
) -> None:
    rows = [mux_row("film", "es"), mux_row("film", "ja", track_id=track_of("film"))]
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, rows, fetch_sources=True)
        assert requests(sandbox, "film") == [200]
        again = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert not again.metrics.requests


async def test_fetch_sources_after_a_stop_fetches_the_rest_once(tmp_path: Path) -> None:
    rows, stop = films(40), ShutdownToken()

    def stop_early(event: Event) -> None:
        if isinstance(event, RowEnded):
            stop.request()

    async with Sandbox(SandboxOptions()) as sandbox:
        first = await run_rows(
            sandbox, tmp_path, rows, observer=stop_early, stop=stop, fetch_sources=True
        )
        assert "pending" in first.states().values()
        result = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert set(result.states().values()) == {"done"}
        fetched = [requests(sandbox, row.source_id) for row in rows]
    assert fetched == [[200]] * 40


@pytest.mark.parametrize("seconds", [3.0, 20.0, 40.0])
async def test_fetch_sources_after_a_kill_fetches_the_rest(tmp_path: Path, seconds: float) -> None:
    rows = films(40)
    async with Sandbox(SandboxOptions()) as sandbox:
        with anyio.move_on_after(seconds):
            await run_rows(sandbox, tmp_path, rows, fetch_sources=True, rates={"mux.write": 1.0})
        result = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert set(result.states().values()) == {"done"}
        fetched = [requests(sandbox, row.source_id) for row in rows]
    assert all(1 <= statuses.count(200) <= 2 for statuses in fetched)
    assert sum(map(len, fetched)) <= len(rows) + 8  # those that were under way
    assert all(source_file(tmp_path, "mux", row.source_id) for row in rows)


async def test_fetch_sources_killed_before_the_record_takes_the_file_that_is_there(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [mux_row("film")], fetch_sources=True)
        ledger_sql(tmp_path, "DELETE FROM memory WHERE key LIKE 'sources.%'")
        result = await run_rows(sandbox, tmp_path, fetch_sources=True)
        assert dict(result.metrics.requests) == {"mux.read": 1}
        assert requests(sandbox, "film") == [200]
    with closing(open_ledger(tmp_path, now=now)) as ledger:
        assert list(ledger.values("sources.")) == ['sources.mux.["film","language "]']


def planned(out: Path, rows: list[Row]) -> Plan:
    """Return the plan of a run that fetches sources."""
    settings = unlimited_settings(out, fetch_sources=True)
    with scratch_ledger(out) as ledger:
        planner = Planner(ledger, settings, {}, EPOCH, sandbox=True, skip_invalid=False)
        planner.read([("test", rows)])
        return planner.plan([])


async def ran(out: Path, rows: list[Row], *, fetch_sources: bool = True) -> Counter[str]:
    """Run, and return the requests for files and assets that the sandbox received."""
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, out, rows, fetch_sources=fetch_sources)
        log = sandbox.request_log
        files = sum(request.bucket == "downloads" for request in log.requests)
        return Counter(downloads=files, assets=log.count("mux.asset"))


@pytest.mark.parametrize("with_track", [True, False])
def test_plan_of_fetch_sources_counts_the_requests_that_the_run_sends(
    tmp_path: Path, with_track: bool
) -> None:
    rows = [
        mux_row(film, language, **({"track_id": track_of(film)} if with_track else {}))
        for film in (f"film-{number}" for number in range(5))
        for language in LANGUAGES
    ]
    rows.append(heygen_row("video"))
    plan = planned(tmp_path, rows)
    assert plan.sources == {"downloads": 5, **({"mux.read": 5} if with_track else {})}
    assert plan.files == plan.requests["downloads"] == len(rows) + 5
    assert "heygen offers no source captions; --fetch-sources skips 1 row" in plan.notes
    assert any("of these for source captions" in line for line in as_lines(plan))
    sent = on_virtual_time(ran(tmp_path, rows))
    assert sent == {"downloads": plan.requests["downloads"], "assets": 5}
    after = planned(tmp_path, rows)
    assert (after.files, after.sources) == (0, {"downloads": 0})


def test_plan_of_fetch_sources_after_a_run_without_counts_rows_that_are_done(
    tmp_path: Path,
) -> None:
    rows = [mux_row(f"film-{number}", language) for number in range(5) for language in LANGUAGES]
    before = on_virtual_time(ran(tmp_path, rows, fetch_sources=False))
    assert before == {"downloads": len(rows), "assets": 5}
    plan = planned(tmp_path, rows)
    assert (plan.to_do, plan.sources) == (0, {"mux.read": 5, "downloads": 5})
    assert {name: n for name, n in plan.requests.items() if n} == plan.sources
    lines = list(as_lines(plan))
    assert "  requests: mux.read 5, downloads 5" in lines
    assert on_virtual_time(ran(tmp_path, [])) == {"downloads": 5, "assets": 5}
