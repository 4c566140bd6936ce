"""Values of options: rates, durations, sizes and numbers of jobs."""

from __future__ import annotations

import contextlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.cli.parsing import (
    parse_duration,
    parse_languages,
    parse_max_jobs,
    parse_moment,
    parse_rate,
    parse_size,
)
from batchcap.domain.errors import UsageError
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates

BUCKETS = documented_rates(PROVIDERS.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mux.write=2/s", ("mux.write", 2.0)),
        ("mux.read=90/min", ("mux.read", 1.5)),
        ("heygen=0.5/s", ("heygen", 0.5)),
        ("heygen=3600/h", ("heygen", 1.0)),
        ("mux.read=none", ("mux.read", None)),
    ],
)
def test_parse_rate_valid_is_accepted(text: str, expected: tuple[str, float | None]) -> None:
    assert parse_rate(text, BUCKETS) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "mux.write",
        "mux.write=",
        "mux.write=0/s",
        "mux.write=0.0/min",
        "mux.write=-1/s",
        "mux.write=5",
        "mux.write=5/day",
        "mux.write=5/s ",
        "mux.write=1e3/s",
        "mux.write=inf/s",
        "mux.write=nan/s",
        "mux=5/s",
        "Heygen=5/s",
        "mux.write=" + "9" * 400 + "/s",
    ],
)
def test_parse_rate_invalid_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--rate"):
        parse_rate(wrong, BUCKETS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("5m", 300.0),
        ("5min", 300.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        ("1d2h3m4s", 93784.0),
        ("0.5h", 1800.0),
    ],
)
def test_parse_duration_valid_is_accepted(text: str, seconds: float) -> None:
    assert parse_duration("--settle", text) == seconds


@pytest.mark.parametrize(
    "wrong", ["", "h", "1x", "-5s", "1h 30m", "5 m", "1h30", "h1", "nan", "inf", "9" * 400]
)
def test_parse_duration_invalid_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--settle"):
        parse_duration("--settle", wrong)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MB", 64_000_000),
        ("512KiB", 524_288),
        ("1000", 1000),
        ("1.5kb", 1500),
        ("2 GB", 2_000_000_000),
        ("1GiB", 1_073_741_824),
        ("7B", 7),
        (" 3mib ", 3_145_728),
    ],
)
def test_parse_size_valid_is_accepted(text: str, size: int) -> None:
    assert parse_size("--max-caption", text) == size


@pytest.mark.parametrize(
    "wrong", ["", "MB", "0", "0MB", "0.4", "-1", "5TBB", "5 M B", "1e6", "9" * 400]
)
def test_parse_size_invalid_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--max-caption"):
        parse_size("--max-caption", wrong)


def test_parse_max_jobs_valid_is_accepted() -> None:
    assert parse_max_jobs("mux=7", ["mux"]) == ("mux", 7)


@pytest.mark.parametrize(
    "wrong", ["mux", "mux=", "mux=0", "mux=-1", "mux=1.5", "heygen=5", "x=1", "mux=\u00b2", "5"]
)
def test_parse_max_jobs_invalid_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--max-jobs"):
        parse_max_jobs(wrong, ["mux"])


@given(
    st.text(max_size=30) | st.text(alphabet="muxheygn.writad=0123456789/sminhKMGB ", max_size=20)
)
def test_parsers_any_text_raises_at_most_a_usage_error(text: str) -> None:
    for parse in (
        lambda value: parse_rate(value, BUCKETS),
        lambda value: parse_duration("--x", value),
        lambda value: parse_size("--x", value),
        lambda value: parse_max_jobs(value, ["mux", "m"]),
    ):
        with contextlib.suppress(UsageError):
            parse(text)


def test_parse_moment_without_offset_is_local_time() -> None:
    local = datetime(2026, 10, 1, 18, 0).astimezone()  # what is tested
    assert parse_moment("--x", "2026-10-01T18:00") == local.timestamp()
    assert parse_moment("--x", "2026-10-01T18:00Z") == 1790877600.0
    assert parse_moment("--x", "2026-10-01T20:00+02:00") == 1790877600.0
    assert parse_moment("--x", "2026-10-01") == local.timestamp() - 18 * 3600
    assert parse_moment("--x", "") is None


@pytest.mark.parametrize("wrong", ["soon", "2026-13-01", "1.10.2026", "2026-10-01T25:00"])
def test_parse_moment_invalid_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--x: invalid date"):
        parse_moment("--x", wrong)


@pytest.mark.parametrize("text", ["es,ja;pt-BR", "es ja, pt-BR", ",es,,ja,pt-BR,es"])
def test_parse_languages_are_separated_in_any_way(text: str) -> None:
    assert parse_languages("--to", text) == ("es", "ja", "pt-BR")
    assert parse_languages("--to", "") == ()


def test_parse_languages_wrong_tag_is_refused() -> None:
    with pytest.raises(UsageError, match="--to: 'Spanish' is not a language tag"):
        parse_languages("--to", "Spanish")
