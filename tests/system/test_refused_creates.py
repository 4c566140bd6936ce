"""A units limit, through the installed command."""

from __future__ import annotations

from tests.system.conftest import UNLIMITED, Shell, sandbox_process, set_options


def test_run_at_the_units_limit_exit_3_and_resume_makes_the_rest(shell: Shell) -> None:
    with sandbox_process("--set", "job_seconds=1", "--set", "create_limit=2") as environment:
        shell.environment.update(environment)
        rows = "".join(f"film-{number},es\n" for number in range(4))
        manifest = shell.manifest("asset_id,to_language_code\n" + rows)
        run = shell.run("run", manifest, *UNLIMITED)
        assert run.returncode == 3, run.stderr
        assert "robots_units_limit_exceeded" in run.stderr
        assert "https://dashboard.mux.com/" in run.stderr
        assert "hint: " in run.stderr
        results = shell.results()
        assert sorted(result["state"] for result in results) == ["done"] * 2 + ["pending"] * 2
        errors = [result["error"]["code"] for result in results if result["error"]]
        assert errors == ["units_exhausted"] * 2
        set_options(environment, create_limit=None)
        assert shell.run("resume", *UNLIMITED).returncode == 0
    assert [result["state"] for result in shell.results()] == ["done"] * 4
