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
@pytest.mark.parametrize("count", [5000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_run_of_more_rows_than_its_windows_hold_fits_in_200_megabytes(
    shell: Shell, count: int
) -> None:
    """The windows are 1,000 rows of Mux and 2,000 of HeyGen."""
    lines = [f"film-{n},es,en," if n % 2 else f",,,tr-{n}" for n in range(count)]
    header = "asset_id,to_language_code,from_language,video_translate_id"
    name = shell.manifest("\n".join([header, *lines]))
    process = shell.start("run", name, "--sandbox", "--no-progress")
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.05)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(f"{count:,} of {count:,} captions")
    assert 20_000_000 < peak < 200_000_000
