"""Values of settings, base URLs and secrets: what is accepted, refused and never printed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.settings import Secrets, Settings, use_uvloop
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import read_secrets, require_credentials

MUX, HEYGEN = PROVIDERS["mux"], PROVIDERS["heygen"]


def settings(**changes: object) -> Settings:
    return msgspec.structs.replace(Settings(out=Path("captions")), **changes)


def test_rate_is_reduced_by_headroom() -> None:
    assert settings().rate("mux.write", 1.0) == 1.0
    assert settings(headroom=20.0).rate("mux.read", 5.0) == pytest.approx(4.0)
    assert settings(rates={"mux.read": 10.0}, headroom=50.0).rate("mux.read", 1.0) == 5.0
    assert settings(rates={"mux.read": None}, headroom=50.0).rate("mux.read", 1.0) is None


def configured(environment: dict[str, str], *, sandbox: bool = False) -> object:
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
def test_base_url_valid_is_accepted(url: str, base: str, loopback: bool) -> None:
    configuration = MUX.configure({"MUX_BASE_URL": url}, settings(), sandbox=False)
    assert (configuration.base_url, configuration.origin, configuration.loopback) == (
        base,
        base,
        loopback,
    )


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
def test_base_url_invalid_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="MUX_BASE_URL"):
        configured({"MUX_BASE_URL": url})


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
def test_base_url_refused_is_printed_without_credentials(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        configured({"MUX_BASE_URL": url})
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_origin_of_sandbox_does_not_depend_on_its_address() -> None:
    configuration = MUX.configure({"MUX_BASE_URL": "http://127.0.0.1:81"}, settings(), sandbox=True)
    assert configuration.origin == "sandbox"
    assert configuration.base_url == "http://127.0.0.1:81"


def test_stream_url_invalid_is_refused() -> None:
    configuration = MUX.configure({}, settings(), sandbox=False)
    assert configuration.other_urls == {"MUX_STREAM_BASE_URL": "https://stream.mux.com"}
    with pytest.raises(UsageError, match="MUX_STREAM_BASE_URL"):
        configured({"MUX_STREAM_BASE_URL": "http://stream.example"})


def test_secrets_empty_variable_counts_as_not_set() -> None:
    environment = {"MUX_TOKEN_ID": "id", "MUX_TOKEN_SECRET": "", "HOME": "/root"}
    configuration = MUX.configure(environment, settings(), sandbox=False)
    assert dict(configuration.secrets) == {"MUX_TOKEN_ID": "id"}


def test_secrets_are_never_printed() -> None:
    environment = {"MUX_TOKEN_ID": "hunter1", "MUX_SIGNING_KEY": "hunter2"}
    configuration = MUX.configure(environment, settings(), sandbox=False)
    for shown in (
        repr(configuration),
        str(configuration),
        f"{configuration}",
        repr(configuration.secrets),
        str(configuration.secrets),
        f"{configuration.secrets!r:>40}",
        repr([configuration.secrets]),
    ):
        assert "hunter" not in shown
    assert "MUX_SIGNING_KEY" in repr(configuration.secrets)
    assert configuration.secrets["MUX_SIGNING_KEY"] == "hunter2"
    assert len(configuration.secrets) == 2


def test_secrets_of_another_provider_are_left_out() -> None:
    environment = {"MUX_TOKEN_ID": "id", "HEYGEN_API_KEY": "key"}
    configuration = MUX.configure(environment, settings(), sandbox=False)
    assert dict(configuration.secrets) == {"MUX_TOKEN_ID": "id"}


def test_options_default_to_those_of_the_provider() -> None:
    chosen = settings(options={"on_existing": "skip", "unknown": "x"})
    assert MUX.configure({}, chosen, sandbox=False).options == {"on_existing": "skip"}
    assert HEYGEN.configure({}, chosen, sandbox=False).options == {"heygen_api": "auto"}


def test_credential_missing_is_named() -> None:
    credentials = {"MUX_TOKEN_ID": "x", "MUX_TOKEN_SECRET": "y"}
    require_credentials([MUX], Secrets(credentials))
    with pytest.raises(FatalError, match="mux rows need MUX_TOKEN_SECRET in") as caught:
        require_credentials([MUX], Secrets({"MUX_TOKEN_ID": "x"}))
    assert "export MUX_TOKEN_SECRET=..., then" in caught.value.hint


def test_credentials_missing_of_two_providers_are_named_together() -> None:
    with pytest.raises(FatalError) as caught:
        require_credentials([MUX, HEYGEN], Secrets({}))
    assert caught.value.message == (
        "mux rows need MUX_TOKEN_ID and MUX_TOKEN_SECRET, and heygen rows need HEYGEN_API_KEY "
        "in the environment"
    )
    variables = "MUX_TOKEN_ID=... MUX_TOKEN_SECRET=... HEYGEN_API_KEY=..."
    assert caught.value.hint.startswith(f"export {variables}, then: batchcap resume")


def test_credential_with_line_break_at_end_is_trimmed() -> None:
    credentials = read_secrets(
        PROVIDERS.values(), {"HEYGEN_API_KEY": " key-1\r\n", "MUX_TOKEN_ID": " \n"}
    )
    assert dict(credentials) == {"HEYGEN_API_KEY": "key-1"}
    require_credentials([HEYGEN], credentials)


def test_credential_with_line_break_inside_is_refused_and_not_shown() -> None:
    with pytest.raises(FatalError, match="HEYGEN_API_KEY holds a line break") as caught:
        require_credentials([HEYGEN], Secrets({"HEYGEN_API_KEY": "hunter2\nX: y"}))
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(("value", "expected"), [("", True), ("uvloop", True), ("asyncio", False)])
def test_use_uvloop_is_true_except_for_asyncio(value: str, expected: bool) -> None:
    assert use_uvloop({"BATCHCAP_LOOP": value}) is expected
    assert use_uvloop({})


def test_use_uvloop_unknown_value_is_refused() -> None:
    with pytest.raises(UsageError, match="BATCHCAP_LOOP is 'trio'"):
        use_uvloop({"BATCHCAP_LOOP": "trio"})
