"""API and file host through a real CONNECT proxy, to servers that only it can find."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap.app.run import run as run_rows
from batchcap.captions.file_host import FileHosts
from batchcap.domain.errors import FatalError, RowError, UsageError
from batchcap.domain.events import LaneStopped, Warned
from batchcap.storage.ledger import open_ledger
from batchcap.transport.http_errors import NotSent
from batchcap.transport.http_session import HttpSession, Timeouts
from batchcap.transport.network import network_settings
from batchcap.transport.url import parse_url
from tests.harness.clock import now
from tests.harness.observers import Recorder
from tests.harness.proxy import API, ENCODED, FILES, PAIR, PASSWORD, HeyGenBehindProxy
from tests.harness.rows import VTT, heygen_row
from tests.harness.runs import unlimited_settings
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio

KEY = "heygen-key-of-the-user"
TIMEOUTS = Timeouts(connect=8.0, read=30.0, headers=60.0, total=60.0)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


async def run(
    out: Path, environment: Mapping[str, str], observer: Recorder, **changes: Any
) -> tuple[list[FatalError], list[dict[str, Any]]]:
    variables = {"HEYGEN_API_KEY": KEY, "HEYGEN_API_BASE": f"https://{API}", **environment}
    with closing(open_ledger(out, create=True, now=time.time)) as ledger:
        ledger.import_rows([("test", [heygen_row("tr")])], skip_invalid=False)
        fatal = await run_rows(
            unlimited_settings(out, **changes), ledger, variables, observer, threads=False
        )
        return fatal, list(ledger.results())


def shown(observer: Recorder, out: Path, *more: object) -> bytes:
    """Return what a run writes and reports; tests/system tests the command's whole output."""
    ledger = b"".join(path.read_bytes() for path in (out / ".batchcap").iterdir())
    return ledger + repr((observer.of(Warned), observer.of(LaneStopped), *more)).encode()


def assert_hidden(content: bytes) -> None:
    for secret in (PASSWORD.encode(), ENCODED.partition(":")[2].encode(), PAIR, b"SIGNED-LINK"):
        assert secret not in content


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "option"])
async def test_proxy_carries_api_and_file_host_requests(
    tmp_path: Path, ca_file: Path, variable: str
) -> None:
    observer, out = Recorder(), tmp_path / "captions"
    async with HeyGenBehindProxy().serving() as world:
        world.authority.cert_pem.write_to_path(str(ca_file))
        url = world.proxy.url()
        environment = {} if variable == "option" else {variable: url}
        option = url if variable == "option" else ""
        fatal, results = await run(out, environment, observer, proxy=option, ca_file=ca_file)
    assert not fatal
    assert results[0]["state"] == "done"
    assert (out / "heygen/tr.vtt").read_bytes() == VTT
    assert set(world.proxy.targets) == {f"{API}:443", f"{FILES}:443"}
    assert_hidden(shown(observer, out, results))
    for head in world.proxy.heads:  # nothing for the provider is sent to the proxy
        assert KEY.encode() not in head
        assert b"Authorization" not in head.replace(b"Proxy-Authorization", b"")
    for request in world.requests:  # nor the proxy's password to the provider
        assert "Proxy-Authorization" not in request.headers
        assert ("X-Api-Key" in request.headers) == (request.host == API)


async def test_wrong_password_stops_the_provider(
    tmp_path: Path, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchcap.transport.first_contact._LIMIT", 0.2)
    observer, out = Recorder(), tmp_path / "captions"
    async with HeyGenBehindProxy().serving() as world:
        world.authority.cert_pem.write_to_path(str(ca_file))
        environment = {"HTTPS_PROXY": world.proxy.url("alice:wrong%2Fpassword-wrong")}
        fatal, results = await run(out, environment, observer, ca_file=ca_file)
    reason = f"heygen: cannot connect to {API}: the proxy refuses the user or password (407)"
    assert [error.message for error in fatal] == [reason]
    assert observer.of(Warned)[0].message.startswith(reason)
    assert results[0]["state"] == "pending"
    assert not world.requests
    assert b"password-wrong" not in shown(observer, out, results, fatal)


async def test_unknown_certificate_stops_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchcap.transport.first_contact._LIMIT", 0.2)
    async with HeyGenBehindProxy().serving() as world:
        fatal, _ = await run(tmp_path, {"HTTPS_PROXY": world.proxy.url()}, Recorder())
    assert "the certificate is not trusted" in fatal[0].message
    assert not world.requests


async def test_no_proxy_is_reached_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchcap.transport.first_contact._LIMIT", 0.2)
    async with HeyGenBehindProxy().serving() as world:
        environment = {"HTTPS_PROXY": world.proxy.url(), "no_proxy": "heygen.test"}
        fatal, _ = await run(tmp_path, environment, Recorder())
    assert "cannot resolve the name" in fatal[0].message
    assert not world.proxy.heads


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_loopback_is_reached_directly(tmp_path: Path, host: str) -> None:
    world = HeyGenBehindProxy()
    async with world.serving(), http_server(world.handle) as url:
        session = HttpSession({}, TIMEOUTS, network_settings({"ALL_PROXY": world.proxy.url()}))
        with await session.send("GET", parse_url(url.replace("127.0.0.1", host))) as response:
            assert response.status == 200
        await session.close()
    assert not world.proxy.heads


@pytest.mark.parametrize("scheme", ["https", "socks5"])
async def test_unsupported_proxy_is_refused_before_anything_starts(
    tmp_path: Path, scheme: str
) -> None:
    observer = Recorder()
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        await run(tmp_path, {"HTTPS_PROXY": f"{scheme}://{ENCODED}@127.0.0.1:1"}, observer)
    assert not observer.events


@pytest.mark.parametrize(
    "link",
    [
        f"http://{FILES}/x",
        "https://10.0.0.1/x",
        "https://10.1/x",
        "https://0x7f000001/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
    ],
)
async def test_literal_addresses_are_checked_behind_a_proxy(link: str) -> None:
    async with HeyGenBehindProxy().serving() as world:
        network = network_settings({"ALL_PROXY": world.proxy.url()})
        async with FileHosts(network, loopback=False, observer=Recorder(), now=now) as hosts:
            with pytest.raises(RowError) as caught:
                await hosts.open(link)
    assert caught.value.code == "link_dead"
    assert not world.proxy.heads


@pytest.mark.parametrize(
    ("credentials", "target", "reason"),
    [
        ("a:b", API, r"\(407\)"),
        (ENCODED, "unknown.test", "the proxy answered 502"),
    ],
)
async def test_refused_proxy_tunnel_means_that_nothing_was_sent(
    credentials: str, target: str, reason: str
) -> None:
    sent: list[None] = []
    async with HeyGenBehindProxy().serving() as world:
        network = network_settings({"HTTPS_PROXY": world.proxy.url(credentials)})
        session = HttpSession({}, TIMEOUTS, network, reuse=False)
        with pytest.raises(NotSent, match=reason):
            url = parse_url(f"https://{target}/x?sig=SIGNED-LINK")
            await session.send("POST", url, b"{}", on_sent=lambda: sent.append(None))
        await session.close()
    assert not sent


async def test_unreachable_proxy_is_named_without_its_password() -> None:
    network = network_settings({"HTTPS_PROXY": f"http://{ENCODED}@127.0.0.1:1"})
    session = HttpSession({}, TIMEOUTS, network)
    with pytest.raises(NotSent, match="cannot connect to the proxy: Connection refused") as caught:
        await session.send("GET", parse_url(f"https://{API}/"))
    await session.close()
    assert PASSWORD not in repr(caught.value)


async def test_connections_through_a_proxy_are_kept_for_gets_and_not_for_creates(
    ca_file: Path,
) -> None:
    async with HeyGenBehindProxy().serving() as world:
        world.authority.cert_pem.write_to_path(str(ca_file))
        network = network_settings({"HTTPS_PROXY": world.proxy.url()}, ca_file=ca_file)
        for reuse, connections in ((True, 1), (False, 3)):
            world.proxy.heads.clear()
            session = HttpSession({}, TIMEOUTS, network, reuse=reuse)
            for _ in range(3):
                with await session.send("GET", parse_url(f"https://{FILES}/x")) as response:
                    while await response.read_chunk():
                        pass
            await session.close()
            assert len(world.proxy.heads) == connections
