"""Limits of the provider and of the machine, on the real clock and over real sockets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tests.system.conftest import Shell
from tests.system.test_command import journal

RATES = {"mux.write": 40, "mux.read": 60, "heygen": 50}


def test_no_second_holds_more_than_the_limit_over_loopback(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    lines = [f"film-{n},film-{n}-en,es," for n in range(200)] + [f",,,tr-{n}" for n in range(250)]
    header = "asset_id,track_id,to_language_code,video_translate_id"
    rates = [word for name, n in RATES.items() for word in ("--rate", f"{name}={n}/s")]
    ran = shell.run("run", shell.manifest("\n".join([header, *lines])), "--json", *rates)
    assert ran.returncode == 0, ran.stderr
    worst = journal(sandbox)["worst_second"]
    for bucket, limit in RATES.items():
        assert worst[bucket] <= limit + 2, worst


def test_ten_thousand_tasks_fit_in_two_hundred_megabytes(shell: Shell) -> None:
    lines = [f"film-{n},es,en," if n % 2 else f",,,tr-{n}" for n in range(10_000)]
    header = "asset_id,to_language_code,from_language,video_translate_id"
    name = shell.manifest("\n".join([header, *lines]))
    process = shell.start("run", name, "--sandbox", "--no-progress")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith("10,000 of 10,000 captions")
    assert usage.ru_maxrss * 1024 < 200_000_000
