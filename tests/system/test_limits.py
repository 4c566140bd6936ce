"""Rate limits and memory, on the real clock and over real sockets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.system.conftest import Shell, peak_memory, request_log

RATES = {"mux.write": 20, "mux.read": 30, "heygen": 25}


def test_run_no_second_exceeds_the_rate_limit(shell: Shell, sandbox: Mapping[str, str]) -> None:
    lines = [f"film-{n},film-{n}-en,es," for n in range(100)] + [f",,,tr-{n}" for n in range(125)]
    header = "asset_id,track_id,to_language_code,video_translate_id"
    rates = [word for name, n in RATES.items() for word in ("--rate", f"{name}={n}/s")]
    result = shell.run("run", shell.manifest("\n".join([header, *lines])), "--json", *rates)
    assert result.returncode == 0, result.stderr
    worst = request_log(sandbox)["worst_second"]
    for bucket, limit in RATES.items():
        assert worst[bucket] <= limit + 2, worst


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_run_ten_thousand_rows_fit_in_200_megabytes(shell: Shell) -> None:
    lines = [f"film-{n},es,en," if n % 2 else f",,,tr-{n}" for n in range(10_000)]
    header = "asset_id,to_language_code,from_language,video_translate_id"
    name = shell.manifest("\n".join([header, *lines]))
    process = shell.start("run", name, "--sandbox", "--no-progress")
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.05)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith("10,000 of 10,000 captions")
    assert 20_000_000 < peak < 200_000_000
