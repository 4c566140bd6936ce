"""Whole runs against the sandbox on the virtual clock: outcomes of rows, and the
requests that the server counted."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from batchcap.domain.errors import UsageError
from batchcap.domain.events import Event, LaneStopped, Warned
from batchcap.sandbox import Sandbox, SandboxOptions, heygen_ids
from batchcap.sandbox.mux.assets import find_asset
from batchcap.storage.ledger import open_ledger
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.rows import heygen_row, mux_row, read_rows
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


MUX_ENDS = {
    "plain": "done",
    "missing": "asset_not_found",
    "noplayback": "rejected",
    "notrack": "track_not_found",
    "preparing": "track_not_ready",
    "twotracks": "done",
    "live": "done",
    "has-es": "done",
    "fails": "job_failed",
    "failsodd": "job_failed",
    "failsforever": "job_failed",
    "cancelled": "job_cancelled",
    "stuck": "job_timeout",
    "oddstate": "done",
    "nolink": "done",
    "nooutput": "captions_not_enabled",
    "badvtt": "bad_caption",
    "html": "bad_caption",
    "nofile": "bad_caption",
}
HEYGEN_ENDS = {
    "plain": "done",
    "missing": "not_found",
    "forbidden": "rejected",
    "failed": "job_failed",
    "stuck": "job_timeout",
    "oddstate": "done",
    "slow": "done",
    "preflight": "job_failed",
    "nocaption": "captions_not_enabled",
    "emptylink": "captions_not_enabled",
    "latelink": "done",
    "lateempty": "done",
    "badvtt": "bad_caption",
    "html": "bad_caption",
    "deadlink": "link_dead",
}


def track_of(source: str) -> dict[str, str]:
    """Return columns that name the asset's first text track, or its language if it has none."""
    asset = find_asset(source)
    if asset is None or not asset.tracks:
        return {"from_language": "en"}
    return {"track_id": asset.tracks[0].id}


@pytest.mark.parametrize("with_track", [True, False])
async def test_run_every_kind_of_asset_ends_as_expected(tmp_path: Path, with_track: bool) -> None:
    rows = [
        mux_row(source, **(track_of(source) if with_track else {"from_language": "en"}))
        for source in (f"id-{word}-1" for word in MUX_ENDS)
    ]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
    ends = {key.split(":")[1][3:-2]: state for key, state in result.states().items()}
    assert ends == MUX_ENDS
    assert not sandbox.request_log.leaks


@pytest.mark.parametrize("version", ["v3", "v2"])
async def test_run_every_kind_of_translation_ends_as_expected(tmp_path: Path, version: str) -> None:
    rows = [heygen_row(f"id-{word}-1") for word in HEYGEN_ENDS]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, options={"heygen_api": version})
    ends = {key.split(":")[1][3:-2]: state for key, state in result.states().items()}
    assert ends == HEYGEN_ENDS
    assert not sandbox.request_log.leaks


async def test_run_files_are_those_of_the_server(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}", from_language="en") for n in range(20)]
    async with Sandbox(SandboxOptions(gzip=True)) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
    for row_result in result.results:
        data = (tmp_path / row_result["path"]).read_bytes()
        assert len(data) == row_result["bytes"]
        assert data.startswith(b"WEBVTT")
    assert not list(tmp_path.rglob("*.part"))


async def test_run_uses_its_limit_and_exceeds_it_in_no_second(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(600)]
    videos = [heygen_row(f"video-{n}") for n in range(400)]
    limits = SandboxOptions.documented(job_seconds=180, job_seconds_max=1800, burst=2)
    rates = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
    async with Sandbox(limits) as sandbox:
        result = await run_rows(sandbox, tmp_path, [*rows, *videos], rates=rates)
        request_log = sandbox.request_log
    assert set(result.states().values()) == {"done"}
    assert request_log.throttled == 0
    assert result.metrics.throttled == 0
    assert request_log.worst_second("mux.write") == 1
    assert request_log.worst_second("mux.read") <= 5
    assert request_log.worst_second("heygen") <= 5
    creates = [entry.time for entry in request_log.requests if entry.bucket == "mux.write"]
    assert len(creates) == 600
    assert (len(creates) - 1) / (creates[-1] - creates[0]) >= 0.98


async def test_source_track_takes_one_request_for_all_languages(tmp_path: Path) -> None:
    rows = [mux_row("film", tag, from_language="en") for tag in ("es", "ja", "pt-BR", "de", "fr")]
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        assert sandbox.request_log.count("mux.asset") == 1
    assert set(result.states().values()) == {"done"}


@pytest.mark.parametrize(
    ("choice", "state"), [("download", "done"), ("skip", "skipped"), ("fail", "language_exists")]
)
@pytest.mark.parametrize("with_track", [True, False])
async def test_existing_track_is_treated_as_the_user_chose(
    tmp_path: Path, choice: str, state: str, with_track: bool
) -> None:
    params = track_of("film-has-es") if with_track else {"from_language": "en"}
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(
            sandbox, tmp_path, [mux_row("film-has-es", **params)], options={"on_existing": choice}
        )
        assert list(result.states().values()) == [state]
        assert sandbox.request_log.creates == []
    assert (tmp_path / "mux/film-has-es.es.vtt").exists() == (state == "done")


async def test_heygen_api_auto_falls_back_to_v2_once_and_remembers(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(heygen_v3="gone404")) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row("one")])
        requests = sandbox.request_log.count("heygen.v3.gone")
        again = await run_rows(sandbox, tmp_path, [heygen_row("one"), heygen_row("two")])
        assert requests == 1
        assert sandbox.request_log.count("heygen.v3.gone") == 1
    assert set(result.states().values()) == set(again.states().values()) == {"done"}


async def test_heygen_v2_polls_of_running_jobs_use_at_most_a_tenth_of_the_quota(
    tmp_path: Path,
) -> None:
    """So that a completed caption does not wait for the polls of a hundred running ones."""
    rows = [heygen_row(f"video-{n}") for n in range(100)]
    options = SandboxOptions(heygen_running=1.0, heygen_finish_seconds=3600)
    async with Sandbox(options) as sandbox:
        rates = {"heygen": 5.0}
        result = await run_rows(sandbox, tmp_path, rows, rates=rates, options={"heygen_api": "v2"})
        request_log = sandbox.request_log
    assert set(result.states().values()) == {"done"}
    times = [entry.time for entry in request_log.requests]
    first_look, at_the_end, settled = 2, 1, 1
    vain = len(times) - len(rows) * (first_look + at_the_end + settled)
    first_sweep = len(rows)  # a sweep is paid for afterwards
    assert vain <= 0.1 * 5 * (times[-1] - times[0]) + first_sweep


@pytest.mark.parametrize("retired", ["gone404", "gone410"])
@pytest.mark.parametrize("body", ["json", "html"])
async def test_retired_route_is_not_a_missing_video(
    tmp_path: Path, retired: str, body: str
) -> None:
    options = SandboxOptions(heygen_v3=retired, heygen_v2=retired, gone_body=body)  # type: ignore[arg-type]  # literals by parametrize
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row("one")])
    assert [error.provider for error in result.fatal] == ["heygen"]
    assert "is no longer available" in result.fatal[0].message
    assert list(result.states().values()) == ["pending"]


@pytest.mark.parametrize("retired", ["gone404", "gone410"])
async def test_robots_gone_stops_mux_with_a_hint(tmp_path: Path, retired: str) -> None:
    async with Sandbox(SandboxOptions(robots_v0=retired)) as sandbox:  # type: ignore[arg-type]  # as above
        result = await run_rows(
            sandbox, tmp_path, [mux_row("one", from_language="en"), heygen_row("two")]
        )
    assert "v1" in result.fatal[0].hint
    assert result.states() == {"mux:one:es": "pending", "heygen:two": "done"}


@pytest.mark.parametrize("fault", ["lost_create", "late_create", "reset", "server_error"])
@pytest.mark.parametrize("duplicates", ["refuse_active", "allow"])
async def test_create_whose_response_is_lost_is_made_once(
    tmp_path: Path, fault: str, duplicates: str
) -> None:
    rows = [
        mux_row(f"film-{n % 40}", t, from_language="en") for n in range(40) for t in ("es", "de")
    ]
    options = SandboxOptions(faults={fault: 0.3}, duplicates=duplicates, job_seconds_max=60)  # type: ignore[arg-type]  # literals by parametrize
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        captions = [
            (job.request.asset_id, job.request.language) for job in sandbox.request_log.creates
        ]
        assert sandbox.request_log.faults[fault] > 5
    assert set(result.states().values()) == {"done"}
    assert len(captions) == len(set(captions)) == 80
    assert {row_result["job_id"] for row_result in result.results} == {
        job.id for job in sandbox.request_log.creates
    }


async def test_heygen_list_is_read_if_it_is_cheaper(tmp_path: Path) -> None:
    ids = list(heygen_ids(1000))
    async with Sandbox(SandboxOptions(heygen_account=1000, heygen_running=0)) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row(source_id) for source_id in ids])
    assert set(result.states().values()) == {"done"}
    assert result.metrics.requests["heygen"] <= 50


async def test_heygen_list_is_abandoned_if_it_is_not_cheaper(tmp_path: Path) -> None:
    rows = [heygen_row(f"elsewhere-{n}") for n in range(1000)]
    async with Sandbox(SandboxOptions(heygen_account=100_000, heygen_running=0)) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
    assert set(result.states().values()) == {"done"}
    assert result.metrics.requests["heygen"] <= 1030


async def test_links_expired_while_waiting_are_replaced(tmp_path: Path) -> None:
    rows = [heygen_row(f"video-{n}") for n in range(50)]
    rows += [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(50)]
    async with Sandbox(SandboxOptions(faults={"expired_link": 0.5})) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        assert sandbox.request_log.faults["expired_link"] > 10
    assert set(result.states().values()) == {"done"}


async def test_caption_above_max_size_is_refused(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(caption_bytes=50_000, gzip=True)) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row("one")], max_caption=20_000)
    assert list(result.states().values()) == ["bad_caption"]
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.vtt"))


async def test_mux_create_has_every_parameter_and_the_users_passthrough(tmp_path: Path) -> None:
    row = mux_row(
        "film",
        track_id="film-en",
        passthrough="mine",
        upload_to_mux=False,
        never_translate=["Mux"],
        track_name="Spanish",
        replace_existing_tracks="fail",
    )
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, [row])
        (job,) = sandbox.request_log.creates
    assert list(result.states().values()) == ["done"]
    sent = json.loads(job.request.passthrough or "")
    assert sent["passthrough"] == "mine"
    assert sent["batchcap"]


async def test_duplicate_job_is_shared(tmp_path: Path) -> None:
    row = mux_row("film", track_id="film-en")
    async with Sandbox(SandboxOptions(job_seconds=60, job_seconds_max=60)) as sandbox:
        async with anyio.create_task_group() as group:
            group.start_soon(run_rows, sandbox, tmp_path / "a", [row])
            group.start_soon(run_rows, sandbox, tmp_path / "b", [row])
        assert len(sandbox.request_log.creates) == 1
    for folder in "ab":
        assert (tmp_path / folder / row.path).exists()


async def test_pause_is_kept_by_the_next_run(tmp_path: Path) -> None:
    limits = SandboxOptions(heygen_rate=1.0, burst=1, retry_after_seconds=600)
    async with Sandbox(limits) as sandbox:
        loop = asyncio.get_running_loop()
        with anyio.move_on_after(30):
            await run_rows(sandbox, tmp_path, [heygen_row(f"v-{n}") for n in range(30)])
        assert sandbox.request_log.throttled
        requests = len(sandbox.request_log.requests)
        throttled_at = max(e.time for e in sandbox.request_log.requests if e.status == 429)
        sandbox.change(heygen_rate=None)
        await run_rows(sandbox, tmp_path, [])
        first = sandbox.request_log.requests[requests]
    assert first.time >= throttled_at + 599
    assert loop.time() >= first.time


async def test_outage_is_waited_out_and_the_other_provider_is_not_affected(
    tmp_path: Path,
) -> None:
    films = [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(120)]
    videos = [heygen_row(f"video-{n}") for n in range(120)]
    rates = {"mux.write": 2.0, "mux.read": 5.0, "heygen": 5.0}
    async with Sandbox(SandboxOptions(job_seconds=5)) as sandbox, Sandbox() as healthy:
        healthy_environment = {
            key: value for key, value in healthy.environment().items() if "HEYGEN" in key
        }

        async def break_down() -> None:
            await anyio.sleep(15)
            sandbox.change(faults={"server_error": 1.0}, fault_streak=10**9)
            await anyio.sleep(300)
            sandbox.change(faults={})

        async with anyio.create_task_group() as group:
            group.start_soon(break_down)
            result = await run_rows(
                sandbox, tmp_path, [*films, *videos], healthy_environment, rates=rates
            )
        creates = [entry for entry in sandbox.request_log.requests if entry.bucket == "mux.write"]
        times = [entry.time for entry in healthy.request_log.requests if entry.bucket == "heygen"]
        captions = {job.request.asset_id for job in sandbox.request_log.creates}
    assert set(result.states().values()) == {"done"}
    assert len(captions) == len(sandbox.request_log.creates) == 120
    assert len(creates) < 160
    assert times[-1] - times[0] < 60


async def test_outage_without_end_makes_rows_unavailable(tmp_path: Path) -> None:
    films = [mux_row(f"film-{n}", from_language="en") for n in range(30)]
    options = SandboxOptions(faults={"server_error": 1.0}, fault_streak=10**9)
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, films)
    assert set(result.states().values()) == {"unavailable"}


async def test_outage_from_the_first_request_on_is_waited_out(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}", from_language="en") for n in range(30)]
    rows += [heygen_row(f"video-{n}") for n in range(30)]
    options = SandboxOptions(faults={"server_error": 1.0}, fault_streak=10**9, job_seconds=5)
    async with Sandbox(options) as sandbox, anyio.create_task_group() as group:

        async def recover() -> None:
            await anyio.sleep(300)
            sandbox.change(faults={})

        group.start_soon(recover)
        result = await run_rows(sandbox, tmp_path, rows)
    assert set(result.states().values()) == {"done"}


OUT_OF_REACH = {
    "mux": {"MUX_BASE_URL": "http://127.0.0.1:1"},
    "heygen": {"HEYGEN_API_BASE": "http://127.0.0.1:1"},
}


@pytest.mark.parametrize("provider", OUT_OF_REACH)
async def test_provider_that_never_answered_stops_and_the_other_goes_on(
    tmp_path: Path, provider: str
) -> None:
    """Its rows stay pending; the same command completes them once the provider responds."""
    mux = [mux_row(f"film-{n}", from_language="en") for n in range(5)]
    mux += [mux_row(f"clip-{n}", track_id=f"clip-{n}-en") for n in range(5)]  # a create is first
    heygen = [heygen_row(f"video-{n}") for n in range(10)]
    observer = Recorder()
    stopped: list[float] = []

    def observe(event: Event) -> None:
        observer(event)
        if isinstance(event, LaneStopped):
            stopped.append(clock() - began)

    async with Sandbox(SandboxOptions(job_seconds=200)) as sandbox:
        began = clock()
        result = await run_rows(
            sandbox, tmp_path, [*mux, *heygen], OUT_OF_REACH[provider], observer=observe, rates={}
        )
        other = {"mux": "heygen", "heygen": "mux"}[provider]
        states = result.states()
        assert {states[key] for key in states if key.startswith(provider)} == {"pending"}
        assert {states[key] for key in states if key.startswith(other)} == {"done"}
        assert [error.provider for error in result.fatal] == [provider]
        reason = f"{provider}: cannot connect to 127.0.0.1:1: Connection refused"
        assert result.fatal[0].message == reason
        assert stopped == [pytest.approx(60, abs=5)]
        assert [event.message for event in observer.of(Warned)] == [f"{reason}; trying for 60 s"]
        again = await run_rows(sandbox, tmp_path)
        assert len(sandbox.request_log.creates) == 10
    assert set(again.states().values()) == {"done"}


async def test_lost_creates_of_one_asset_take_one_lookup(tmp_path: Path) -> None:
    tags = ("es", "ja", "pt-BR", "de", "fr", "it", "ko", "pl")
    rows = [mux_row("film", tag, from_language="en") for tag in tags]
    options = SandboxOptions(faults={"lost_create": 1.0}, duplicates="allow")
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        assert sandbox.request_log.faults["lost_create"] == len(tags)
        assert len(sandbox.request_log.creates) == len(tags)
        listed = [e for e in sandbox.request_log.requests if "asset_id=film" in e.key]
    assert set(result.states().values()) == {"done"}
    assert len(listed) == 1


async def test_duplicate_job_that_ended_badly_is_named(tmp_path: Path) -> None:
    row = mux_row("film-failsforever", track_id="film-en")
    async with Sandbox(SandboxOptions(duplicates="refuse_any")) as sandbox:
        first = await run_rows(sandbox, tmp_path / "a", [row])
        again = await run_rows(sandbox, tmp_path / "b", [row])
        assert len(sandbox.request_log.creates) == 2
    assert set(first.states().values()) == set(again.states().values()) == {"job_failed"}


@pytest.mark.parametrize(("film", "end"), [("film-has-es", "done"), ("film", "outcome_unknown")])
async def test_intent_older_than_mux_keeps_jobs_is_decided_by_the_track_alone(
    tmp_path: Path, film: str, end: str
) -> None:
    row = mux_row(film, from_language="en")
    month_ago = now() - 30 * 86400
    with closing(open_ledger(tmp_path, create=True, now=lambda: month_ago)) as ledger:
        ledger.import_rows([("test", [row])], skip_invalid=False)
        (pending,) = await ledger.pending("mux", 0, 1)
        await ledger.record_intent(pending.row)
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path)
        assert sandbox.request_log.count("mux.create") == 0
    assert list(result.states().values()) == [end]


async def test_language_tag_in_another_case_is_the_same_task(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "asset_id,track_id,to_language_code\nfilm,film-en,pt-BR\nfilm,film-en,pt-br\n"
    )
    with (
        closing(open_ledger(tmp_path / "out", create=True)) as ledger,
        pytest.raises(UsageError, match=r":3: the same task as .*:2"),
    ):
        ledger.import_rows([("m.csv", read_rows(tmp_path / "m.csv"))], skip_invalid=False)
