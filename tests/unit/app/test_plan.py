"""The plan of a run: what it says, and that it leaves no trace."""

from __future__ import annotations

import asyncio
import calendar
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap.app.plan import split_problem
from batchcap.cli import run as run_command
from batchcap.cli.choice_options import ChoiceOptions
from batchcap.cli.options import ManifestOptions, OutputOptions, RunOptions
from batchcap.cli.plan import plan
from batchcap.domain.errors import UsageError
from batchcap.domain.models import Job, JobState, Outcome, RowState
from batchcap.reports.plan import Plan, Problem, Range, as_lines
from batchcap.storage.ledger import SqliteLedger, open_ledger
from tests.harness.clock import now
from tests.harness.rows import CAPTION

MANIFEST = """asset_id,from_language,to_language_code,video_translate_id,duration,upload_to_mux
film-1,en,es;ja,,60,
film-2,en,es,,120,false
,,,6vr40c621282471bb03cd9n61acf7faa,,
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MUX_TOKEN_ID", "MUX_TOKEN_SECRET", "HEYGEN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "m.csv").write_text(MANIFEST)


def planned(capsys: pytest.CaptureFixture[str], *names: str, **options: Any) -> dict[str, Any]:
    """Return the plan of some manifests as its JSON object, with the exit status."""
    choices = ChoiceOptions(**options.pop("choices", {}))
    skip = ManifestOptions(skip_invalid=options.pop("skip_invalid", False))
    status = plan(
        *(names or ("m.csv",)),
        manifest_options=skip,
        run_options=RunOptions(**options),
        choice_options=choices,
        output_options=OutputOptions(json=True),
    )
    return {**json.loads(capsys.readouterr().out), "status": status}


def run_some(out: Path, done: int, units: int = 0) -> None:
    """Import the manifest as a run does, and finish its first rows."""
    run_command.import_manifests(
        ["m.csv"],
        ManifestOptions(),
        RunOptions().settings(out, sandbox=False),
        sandbox=False,
    )
    with closing(open_ledger(out, now=now)) as ledger:
        asyncio.run(finish(ledger, done, units))


async def finish(ledger: SqliteLedger, count: int, units: int) -> None:
    """Finish the first rows of a ledger."""
    for pending in await ledger.pending("mux", 0, count):
        job = Job(id=pending.row.key, state=JobState.COMPLETED, units=units)
        await ledger.record_intent(pending.row)
        await ledger.record_job(pending.row, pending.row.key)
        outcome = Outcome(
            state=RowState.DONE, started_at=1.0, finished_at=2.0, caption=CAPTION, job=job
        )
        await ledger.record_outcome(pending.row, outcome)


async def remember(ledger: SqliteLedger, counts: Any) -> None:
    """Store lengths of jobs."""
    ledger.set("durations.mux", json.dumps(counts))
    await ledger.drain()


def test_plan_without_keys_counts_tasks_requests_and_what_is_published(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = planned(capsys)
    assert shown["status"] == 0
    assert shown["tasks"] == shown["to_do"] == shown["files"] == 4
    assert shown["by_provider"] == {"mux": 3, "heygen": 1}
    assert shown["by_language"] == {"es": 2, "ja": 1, "unknown": 1}
    assert (shown["done_already"], shown["jobs"], shown["published"]) == (0, 3, 2)
    assert shown["shared_sources"] == 1
    assert shown["requests"]["mux.write"] == 3
    assert shown["requests"]["downloads"] == 4
    assert shown["units"] is None
    assert shown["problems"] == []
    seconds = shown["seconds"]
    assert 0 < seconds["low"] < seconds["likely"] < seconds["high"]
    assert any("2 new jobs would publish" in note for note in shown["notes"])
    assert any("upload_to_mux=false" in note for note in shown["notes"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv"]


def test_plan_ends_at_the_likely_time_from_now(capsys: pytest.CaptureFixture[str]) -> None:
    shown = planned(capsys)
    ends = calendar.timegm(time.strptime(shown["ends_at"], "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(ends - time.time() - shown["seconds"]["likely"]) < 60


def test_plan_counts_what_the_ledger_has_done_and_leaves_the_ledger_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_some(tmp_path / "captions", done=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("ledger.sqlite")}
    shown = planned(capsys)
    assert (shown["tasks"], shown["done_already"]) == (4, 2)
    assert (shown["to_do"], shown["jobs"]) == (2, 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("ledger.sqlite")} == before


def test_plan_of_a_second_manifest_names_the_pending_rows_of_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_some(tmp_path / "captions", done=1)
    (tmp_path / "n.csv").write_text("asset_id,to_language_code\nfilm-9,fr\n")
    shown = planned(capsys, "n.csv")
    assert (shown["tasks"], shown["done_already"], shown["to_do"]) == (1, 0, 4)
    assert shown["earlier_manifests"] == {"m.csv": 3}


def test_plan_with_problems_has_all_of_them_with_line_and_column_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = ["asset_id,to_language_code,name", *["film,e*s,"] * 30, "x,es,../x.vtt", "y,fr,"]
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    shown = planned(capsys, "bad.csv")
    assert shown["status"] == 2
    assert len(shown["problems"]) == 31
    assert shown["problems"][0] == {
        "where": "bad.csv:2",
        "column": "to_language_code",
        "message": "'e*s' is not a language tag (such as es or pt-BR)",
    }
    assert shown["problems"][-1]["column"] == "name"
    assert shown["tasks"] == 1


def test_plan_of_regional_siblings_is_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "s.csv").write_text("asset_id,to_language_code\nfilm,pt-BR\nfilm,pt-PT\n")
    shown = planned(capsys, "s.csv")
    assert shown["status"] == 2
    (problem,) = shown["problems"]
    assert problem["where"] == "s.csv:2"
    assert "pt-BR and pt-PT" in problem["message"]


def test_plan_of_one_track_name_on_rows_of_an_asset_is_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [
        "film,es,Subtitles,",
        "film,ja, SUBTITLES ,",
        "film,fr,Subtitles,false",
        "b,es,Subtitles,",
    ]
    header = "asset_id,to_language_code,track_name,upload_to_mux"
    (tmp_path / "s.csv").write_text("\n".join([header, *rows]))
    shown = planned(capsys, "s.csv")
    assert shown["status"] == 2
    (problem,) = shown["problems"]
    assert problem["where"] == "s.csv:2"
    assert "es and ja cannot both be tracks" in problem["message"]
    assert "track_name is the same" in problem["message"]


def test_plan_of_a_row_again_notes_that_its_own_columns_are_ignored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_text("asset_id,to_language_code,title\na,es,One\na,es,Two\n")
    shown = planned(capsys, "d.csv")
    assert (shown["status"], shown["tasks"]) == (0, 1)
    assert any(note.startswith("d.csv:3 is d.csv:2 again") for note in shown["notes"])


def test_plan_with_skip_invalid_notes_what_is_skipped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("asset_id,to_language_code\nfilm,e*s\nfilm,es\n")
    shown = planned(capsys, "bad.csv", skip_invalid=True)
    assert (shown["status"], shown["problems"], shown["tasks"]) == (0, [], 1)
    assert any(note.startswith("bad.csv:2: to_language_code") for note in shown["notes"])


def test_plan_with_skip_invalid_of_a_file_that_cannot_be_read_is_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_bytes(b"asset_id,to_language_code\nfilm,es\nfilm\xe9,es\n")
    shown = planned(capsys, "bad.csv", skip_invalid=True)
    assert shown["status"] == 2
    (problem,) = shown["problems"]
    assert problem["where"].startswith("bad.csv")


def test_plan_of_a_base_url_that_is_refused_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUX_BASE_URL", "http://example.com")
    shown = planned(capsys)
    assert shown["status"] == 2
    assert "https" in shown["problems"][0]["message"]


def test_plan_of_a_missing_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="No such file"):
        planned(capsys, "none.csv")


@pytest.mark.parametrize(
    ("cost", "units"), [("2", 6.0), ("0.5/min", 2.0)], ids=["caption", "minute"]
)
def test_plan_with_unit_cost_multiplies_it(
    capsys: pytest.CaptureFixture[str], cost: str, units: float
) -> None:
    shown = planned(capsys, choices={"unit_cost": cost})
    assert shown["units"] == {"low": units, "high": units}


def test_plan_takes_units_a_minute_from_the_ledger(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_some(tmp_path / "captions", done=2, units=4)  # of videos of one minute
    shown = planned(capsys)
    assert shown["units"] == {"low": 8.0, "high": 8.0}  # one video of two minutes is left


def test_plan_with_a_limit_and_a_filter_is_about_the_chosen_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = planned(capsys, choices={"limit": 2})
    assert (shown["tasks"], shown["to_do"], shown["jobs"]) == (4, 2, 2)
    shown = planned(capsys, choices={"filter_": ["asset_id=film-2"]})
    assert (shown["to_do"], shown["published"]) == (1, 0)


@pytest.mark.parametrize(
    ("choices", "where"),
    [
        ({"deadline": "2020-01-01T18:00"}, "--deadline Wed 2020-01-01 18:00"),
        ({"max_units": "5", "unit_cost": "2"}, "--max-units 5"),
    ],
)
def test_plan_that_passes_a_limit_is_refused(
    capsys: pytest.CaptureFixture[str], choices: dict[str, str], where: str
) -> None:
    shown = planned(capsys, choices=choices)
    assert shown["status"] == 2
    assert shown["problems"][0]["where"] == where


def test_plan_uses_rates_headroom_and_window_of_the_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = "".join(f"film-{number},t,es\n" for number in range(80))
    (tmp_path / "big.csv").write_text("asset_id,track_id,to_language_code\n" + rows)
    slow = planned(capsys, "big.csv", rate=["mux.write=6/min"], headroom=50.0)
    assert slow["bottleneck"] == "mux.write"
    assert slow["seconds"]["likely"] == pytest.approx(80 * 20, rel=0.5)
    narrow = planned(capsys, "big.csv", max_jobs=["mux=2"])
    assert narrow["bottleneck"] is None
    assert narrow["seconds"]["likely"] > 80 / 2 * 180


def test_plan_uses_the_lengths_of_jobs_that_the_ledger_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_some(tmp_path / "captions", done=0)
    with closing(open_ledger(tmp_path / "captions", now=now)) as ledger:
        asyncio.run(remember(ledger, {"": {"40": 50}}))  # 2^(40/8) s: 32 s and more
    shown = planned(capsys)
    assert 32 <= shown["seconds"]["likely"] <= 60
    assert any("those of 50 jobs" in note for note in shown["notes"])


def test_plan_has_the_notes_of_its_manifests(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "n.csv").write_text("asset_id,to_language_code\nfilm,qxx\n")
    shown = planned(capsys, "n.csv")
    assert any(note.startswith("n.csv:2: to_language_code") for note in shown["notes"])


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("asset_id: missing", [("asset_id", "missing")]),
        ("no rows", [(None, "no rows")]),
        ("key: a; b; name: c", [("key", "a; b"), ("name", "c")]),
        ("item 3: key: a; name: c", [("key", "item 3: a"), ("name", "item 3: c")]),
    ],
)
def test_split_problem_separates_columns(text: str, problems: list[tuple[str | None, str]]) -> None:
    assert list(split_problem("m.csv:2", text)) == [
        Problem("m.csv:2", *problem) for problem in problems
    ]


@pytest.fixture
def in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_plan_on_the_screen() -> None:
    plan = Plan(
        manifests=["videos.csv"],
        tasks=5000,
        by_provider={"heygen": 1000, "mux": 4000},
        by_language={"es": 2000, "ja": 2000, "unknown": 1000},
        done_already=10,
        to_do=5020,
        jobs=3990,
        published=3990,
        earlier_manifests={"old.csv": 30},
        shared_sources=2000,
        requests={"mux.write": 3990, "mux.read": 8400, "heygen": 1030, "downloads": 5020},
        bottleneck="mux.write",
        limit="mux.write at 1/s",
        seconds=Range(4000.0, 5400.0, 6600.0),
        now=1_796_400_000.0,
        ends_at=None,
        units={"low": 900.0, "high": 1200.5},
        units_reason="from 12 paid jobs of this ledger",
        files=5020,
        bytes=150_000_000,
        account={"exists": 3},
        notes=[],
    )
    assert list(as_lines(plan)) == [
        "videos.csv: 5,000 captions",
        "  providers: mux 4,000, heygen 1,000",
        "  languages: es 2,000, ja 2,000, unknown 1,000",
        "  done already: 10",
        "  in the account: exists 3",
        "to do: 5,020 captions, with 3,990 new jobs",
        "  of earlier manifests: old.csv 30",
        "  sources with several rows: 2,000",
        "  requests: mux.write 3,990, mux.read 8,400, heygen 1,030, downloads 5,020",
        "  files: 5,020, about 150.0 MB",
        "  units: 900 to 1,200.5, from 12 paid jobs of this ledger",
        "  time: about 1h 30m (1h 06m to 1h 50m); started now, it ends about Fri 2026-12-04 17:30",
        "  bottleneck: mux.write at 1/s",
    ]


def test_plan_on_the_screen_has_equal_problems_once_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [f"film-{number},English" for number in range(30)]
    rows += [f"other-{number},e*{number}" for number in range(25)]
    (tmp_path / "bad.csv").write_text("\n".join(["asset_id,to_language_code", *rows]))
    assert plan("bad.csv") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("bad.csv:2: to_language_code: 'English' is not a language tag")
    assert lines[0].endswith("(also in line 3, 4, 5, 6, 7 and 24 more)")
    assert lines[20] == "... and 6 more (all of them: --json)"
    assert lines[21].startswith("error: ")
