"""Settings: what is understood, what is refused, and what is never printed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.cli.parsing import parse_duration, parse_max_jobs, parse_rate, parse_size
from batchcap.errors import FatalError, UsageError
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates, read_secrets
from batchcap.settings import (
    Secrets,
    Settings,
    use_uvloop,
)

MUX, HEYGEN = PROVIDERS["mux"], PROVIDERS["heygen"]
BUCKETS = documented_rates(PROVIDERS.values())


def settings(**changes: object) -> Settings:
    return msgspec.structs.replace(Settings(out=Path("captions")), **changes)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("mux.write=2/s", ("mux.write", 2.0)),
        ("mux.read=90/min", ("mux.read", 1.5)),
        ("heygen=0.5/s", ("heygen", 0.5)),
        ("heygen=3600/h", ("heygen", 1.0)),
        ("mux.read=none", ("mux.read", None)),
    ],
)
def test_a_rate(given_: str, expected: tuple[str, float | None]) -> None:
    assert parse_rate(given_, BUCKETS) == expected


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
def test_a_rate_that_is_none_is_refused(wrong: str) -> None:
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
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration("--settle", text) == seconds


@pytest.mark.parametrize(
    "wrong", ["", "h", "1x", "-5s", "1h 30m", "5 m", "1h30", "h1", "nan", "inf", "9" * 400]
)
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--settle"):
        parse_duration("--settle", wrong)


@pytest.mark.parametrize(
    ("text", "count"),
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
def test_a_size(text: str, count: int) -> None:
    assert parse_size("--max-caption", text) == count


@pytest.mark.parametrize(
    "wrong", ["", "MB", "0", "0MB", "0.4", "-1", "5TBB", "5 M B", "1e6", "9" * 400]
)
def test_a_size_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--max-caption"):
        parse_size("--max-caption", wrong)


def test_jobs_at_once() -> None:
    assert parse_max_jobs("mux=7", ["mux"]) == ("mux", 7)


@pytest.mark.parametrize(
    "wrong", ["mux", "mux=", "mux=0", "mux=-1", "mux=1.5", "heygen=5", "x=1", "mux=\u00b2", "5"]
)
def test_a_window_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--max-jobs"):
        parse_max_jobs(wrong, ["mux"])


@given(
    st.text(max_size=30) | st.text(alphabet="muxheygn.writad=0123456789/sminhKMGB ", max_size=20)
)
def test_nothing_but_a_usage_error_comes_of_any_text(text: str) -> None:
    for parse in (
        lambda given_: parse_rate(given_, BUCKETS),
        lambda given_: parse_duration("--x", given_),
        lambda given_: parse_size("--x", given_),
        lambda given_: parse_max_jobs(given_, ["mux", "m"]),
    ):
        with contextlib.suppress(UsageError):
            parse(text)


def test_a_rate_is_the_documented_one_less_the_headroom() -> None:
    assert settings().rate("mux.write", 1.0) == 1.0
    assert settings(headroom=20.0).rate("mux.read", 5.0) == pytest.approx(4.0)
    assert settings(rates={"mux.read": 10.0}, headroom=50.0).rate("mux.read", 1.0) == 5.0
    assert settings(rates={"mux.read": None}, headroom=50.0).rate("mux.read", 1.0) is None


def provided(environment: dict[str, str], *, sandbox: bool = False) -> object:
    return MUX.configure(environment, settings(), sandbox=sandbox)


@pytest.mark.parametrize(
    ("url", "base", "loopback"),
    [
        ("", "https://api.mux.com", False),
        ("https://api.mux.com/", "https://api.mux.com", False),
        ("https://proxy.example:8443/mux", "https://proxy.example:8443/mux", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("http://localhost:8000/", "http://localhost:8000", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("https://127.0.0.1", "https://127.0.0.1", True),
    ],
)
def test_a_base_url(url: str, base: str, loopback: bool) -> None:
    made = MUX.configure({"MUX_BASE_URL": url}, settings(), sandbox=False)
    assert (made.base_url, made.origin, made.loopback) == (base, base, loopback)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.mux.com",
        "http://10.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "ftp://api.mux.com",
        "file:///etc/passwd",
        "api.mux.com",
        "https://",
        "https://[half",
        "https://host:port",
        "https://host:99999",
        "https://user:pass@api.mux.com",
        "https://user@api.mux.com",
        "https://api.mux.com?x=1",
        "https://api.mux.com#x",
        "https://api.mux.com\r\nX: y",
        "https://api mux.com",
    ],
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="MUX_BASE_URL"):
        provided({"MUX_BASE_URL": url})


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@api.mux.com",
        "http://me:hun@hunter2@api.mux.com",
        "https://me:hunter2@api.mux.com/",
        "http://api.mux.com/?token=hunter2",
        "ftp://me:hunter2@h",
        "http://api.mux.com/#hunter2",
    ],
)
def test_a_refusal_does_not_print_what_could_be_a_credential(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        provided({"MUX_BASE_URL": url})
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_the_origin_of_a_sandbox_is_the_sandbox_wherever_it_listens() -> None:
    made = MUX.configure({"MUX_BASE_URL": "http://127.0.0.1:81"}, settings(), sandbox=True)
    assert made.origin == "sandbox"
    assert made.base_url == "http://127.0.0.1:81"


def test_the_stream_url_is_checked_too() -> None:
    made = MUX.configure({}, settings(), sandbox=False)
    assert made.other_urls == {"MUX_STREAM_BASE_URL": "https://stream.mux.com"}
    with pytest.raises(UsageError, match="MUX_STREAM_BASE_URL"):
        provided({"MUX_STREAM_BASE_URL": "http://stream.example"})


def test_secrets_are_taken_from_the_environment_and_empty_ones_are_none() -> None:
    environment = {"MUX_TOKEN_ID": "id", "MUX_TOKEN_SECRET": "", "HOME": "/root"}
    made = MUX.configure(environment, settings(), sandbox=False)
    assert dict(made.secrets) == {"MUX_TOKEN_ID": "id"}


def test_secrets_are_never_printed() -> None:
    environment = {"MUX_TOKEN_ID": "hunter1", "MUX_SIGNING_KEY": "hunter2"}
    made = MUX.configure(environment, settings(), sandbox=False)
    for shown in (
        repr(made),
        str(made),
        f"{made}",
        repr(made.secrets),
        str(made.secrets),
        f"{made.secrets!r:>40}",
        repr([made.secrets]),
    ):
        assert "hunter" not in shown
    assert "MUX_SIGNING_KEY" in repr(made.secrets)
    assert made.secrets["MUX_SIGNING_KEY"] == "hunter2"
    assert len(made.secrets) == 2


def test_a_provider_is_not_given_the_secrets_of_another() -> None:
    environment = {"MUX_TOKEN_ID": "mine", "HEYGEN_API_KEY": "other"}
    made = MUX.configure(environment, settings(), sandbox=False)
    assert dict(made.secrets) == {"MUX_TOKEN_ID": "mine"}


def test_options_are_the_user_s_or_the_provider_s_defaults() -> None:
    chosen = settings(options={"on_existing": "skip", "unknown": "x"})
    assert MUX.configure({}, chosen, sandbox=False).options == {"on_existing": "skip"}
    assert HEYGEN.configure({}, chosen, sandbox=False).options == {"heygen_api": "auto"}


def test_a_missing_credential_is_named() -> None:
    have = {"MUX_TOKEN_ID": "x", "MUX_TOKEN_SECRET": "y"}
    MUX.require_credentials(Secrets(have))
    with pytest.raises(FatalError, match="mux rows need MUX_TOKEN_SECRET in") as caught:
        MUX.require_credentials(Secrets({"MUX_TOKEN_ID": "x"}))
    assert caught.value.provider == "mux"
    assert "export MUX_TOKEN_SECRET=" in caught.value.hint
    with pytest.raises(FatalError, match="MUX_TOKEN_ID and MUX_TOKEN_SECRET"):
        MUX.require_credentials(Secrets({}))


def test_a_credential_is_read_as_files_hold_it() -> None:
    have = read_secrets(PROVIDERS.values(), {"HEYGEN_API_KEY": " key-1\r\n", "MUX_TOKEN_ID": " \n"})
    assert dict(have) == {"HEYGEN_API_KEY": "key-1"}
    HEYGEN.require_credentials(have)


def test_a_credential_that_no_header_can_hold_is_named_and_not_shown() -> None:
    with pytest.raises(FatalError, match="HEYGEN_API_KEY holds a line break") as caught:
        HEYGEN.require_credentials(Secrets({"HEYGEN_API_KEY": "hunter2\nX: y"}))
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(("word", "wanted"), [("", True), ("uvloop", True), ("asyncio", False)])
def test_the_loop_is_uvloop_unless_told_otherwise(word: str, wanted: bool) -> None:
    assert use_uvloop({"BATCHCAP_LOOP": word}) is wanted
    assert use_uvloop({})


def test_another_loop_is_not_known() -> None:
    with pytest.raises(UsageError, match="BATCHCAP_LOOP is 'trio'"):
        use_uvloop({"BATCHCAP_LOOP": "trio"})
