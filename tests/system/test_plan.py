"""Plans, pilots and limits through the installed command."""

from __future__ import annotations

import json

from tests.system.conftest import UNLIMITED, Shell, sandbox_process

HEADER = "asset_id,track_id,to_language_code,title\n"
ROWS = [f"film-{number},t,es,{'even' if number % 2 == 0 else 'odd'}\n" for number in range(6)]


def test_plan_without_keys_prints_the_plan_and_leaves_nothing(shell: Shell) -> None:
    name = shell.manifest(HEADER + "".join(ROWS))
    shown = shell.run("plan", name)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("m.csv: 6 captions\n")
    assert "6 new jobs would publish: each adds a text track" in shown.stdout
    dry = shell.run("run", "--dry-run", name, "--json")
    assert dry.returncode == 0
    assert json.loads(dry.stdout)["tasks"] == 6
    assert [path.name for path in shell.folder.iterdir()] == ["m.csv"]


def test_plan_with_check_reads_the_account_and_leaves_nothing(shell: Shell) -> None:
    name = shell.manifest("asset_id,to_language_code\nfilm,es\nfilm-has-ja,ja\nfilm-missing,es\n")
    shown = shell.run("plan", name, "--sandbox", "--check")
    assert shown.returncode == 0, shown.stderr
    assert "in the account: " in shown.stdout
    assert "to do: 2 captions, with 1 new job" in shown.stdout
    assert (
        "asset_not_found, 1 in the account: mux:film-missing:es: asset film-missing" in shown.stdout
    )
    assert [path.name for path in shell.folder.iterdir()] == ["m.csv"]
    refused = shell.run("plan", name, "--check")
    assert refused.returncode == 3
    assert "MUX_TOKEN_ID" in refused.stderr


def test_plan_with_problems_prints_them_and_exits_2(shell: Shell) -> None:
    name = shell.manifest(HEADER + "film,t,e*s,\n" + ROWS[0])
    shown = shell.run("plan", name)
    assert shown.returncode == 2
    assert shown.stderr.startswith("m.csv:2: to_language_code: 'e*s' is not a language tag")
    assert "m.csv: 1 caption" in shown.stdout


def test_run_of_a_pilot_then_a_filter_then_all(shell: Shell) -> None:
    name = shell.manifest(HEADER + "".join(ROWS))
    with sandbox_process("--set", "job_seconds=0.2") as environment:
        shell.environment.update(environment)
        pilot = shell.run("run", name, "--limit", "2", *UNLIMITED)
        assert pilot.returncode == 0, pilot.stderr
        assert "to do: 2 captions, with 2 new jobs; 2 jobs will publish: " in pilot.stderr
        assert [result["state"] for result in shell.results()] == ["done"] * 2 + ["pending"] * 4
        none = shell.run("resume", "--filter", "title=Season*", *UNLIMITED)
        assert none.returncode == 0
        assert "no pending row was chosen by --limit and --filter" in none.stderr
        some = shell.run("resume", "--filter", "title=even", *UNLIMITED)
        assert some.returncode == 0, some.stderr
        states = [result["state"] for result in shell.results()]
        assert states == ["done", "done", "done", "pending", "done", "pending"]
        resumed = shell.run("resume", "--limit", "1", *UNLIMITED)
        assert resumed.returncode == 0, resumed.stderr
        assert [result["state"] for result in shell.results()] == ["done"] * 5 + ["pending"]
        second = shell.manifest(HEADER + "film-9,t,es,\n", "n.csv")
        rest = shell.run("run", second, *UNLIMITED)
        assert rest.returncode == 0, rest.stderr
        assert "that includes 1 pending row of earlier manifests: m.csv 1" in rest.stderr
    assert [result["state"] for result in shell.results()] == ["done"] * 7


def test_run_that_would_pass_a_limit_imports_nothing(shell: Shell) -> None:
    name = shell.manifest(HEADER + "".join(ROWS))
    dear = shell.run("run", name, "--max-units", "5", "--unit-cost", "1", "--sandbox")
    assert dear.returncode == 2
    assert "error: --max-units 5: the run would cost about 6 units, from --unit-cost" in dear.stderr
    late = shell.run("run", name, "--deadline", "2020-01-01", "--sandbox")
    assert late.returncode == 2
    assert "--deadline Wed 2020-01-01 00:00: the run would end about" in late.stderr
    assert [path.name for path in shell.folder.iterdir()] == ["m.csv"]


def test_run_with_a_filter_needs_no_keys_of_other_providers(shell: Shell) -> None:
    header = "asset_id,track_id,to_language_code,video_translate_id\n"
    name = shell.manifest(header + "film,t,es,\n,,,tr-1\n")
    with sandbox_process() as environment:
        shell.environment.update(environment)
        del shell.environment["HEYGEN_API_KEY"]
        ran = shell.run("run", name, "--filter", "provider=mux", *UNLIMITED)
    assert ran.returncode == 0, ran.stderr
    assert [result["state"] for result in shell.results()] == ["done", "pending"]
