"""--listen, --public-url, --insecure-webhooks, and the folder of the inbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.domain.errors import UsageError
from batchcap.domain.settings import ListenAddress, inbox_folder, parse_listen
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import read_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8467", ("127.0.0.1", 8467)),
        ("localhost:0", ("localhost", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:65535", ("::1", 65535)),
        ("hooks.internal:8080", ("hooks.internal", 8080)),
    ],
)
def test_parse_listen_returns_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == ListenAddress(*expected)


@pytest.mark.parametrize(
    "wrong",
    [
        *["", "8467", ":8467", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "a b:80"],
        *["http://127.0.0.1:80", "127.0.0.1:-1", "127.0.0.1:\u0661", "[x]:80", "h:80\n", "h:1e3"],
    ],
)
def test_parse_listen_with_invalid_address_raises(wrong: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        parse_listen(wrong)


def test_parse_listen_strips_the_last_slash_of_the_public_url() -> None:
    assert parse_listen("h:1", "https://hooks.example/x/").public_url == "https://hooks.example/x"
    assert parse_listen("h:1", "http://127.0.0.1:9").public_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "wrong",
    ["hooks.example", "http://hooks.example", "https://me:hunter2@hooks.example", "https://h/?x=1"],
)
def test_parse_listen_with_invalid_public_url_raises_without_password(wrong: str) -> None:
    with pytest.raises(UsageError, match="--public-url") as caught:
        parse_listen("127.0.0.1:1", wrong)
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_parse_listen_insecure_is_refused_off_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert parse_listen(f"{host}:0", insecure=True).insecure
    assert parse_listen("127.0.0.1:0", "http://localhost:9", insecure=True).insecure
    for host, public in (("0.0.0.0", ""), ("10.0.0.1", ""), ("127.0.0.1", "https://t.example")):
        with pytest.raises(UsageError, match="--insecure-webhooks"):
            parse_listen(f"{host}:0", public, insecure=True)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/me"}, "/state/batchcap"),
        ({"HOME": "/me"}, "/me/.local/state/batchcap"),
        ({"XDG_STATE_HOME": "", "HOME": "/me"}, "/me/.local/state/batchcap"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/me"}, "/me/.local/state/batchcap"),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_inbox_folder_follows_the_xdg_variables(
    environment: dict[str, str], expected: str | None
) -> None:
    assert inbox_folder(environment) == (Path(expected) if expected else None)


def test_signing_secrets_are_not_in_their_repr() -> None:
    secrets = read_secrets(
        PROVIDERS.values(),
        {"MUX_WEBHOOK_SECRET": "hunter2", "HEYGEN_WEBHOOK_SECRET": "", "X": "y"},
    )
    assert dict(secrets) == {"MUX_WEBHOOK_SECRET": "hunter2"}
    assert "hunter2" not in repr(secrets)
