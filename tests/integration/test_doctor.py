"""`diagnose` against the sandbox, and against servers, proxies and certificates that fail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.app.doctor import diagnose
from batchcap.domain.settings import Settings
from batchcap.sandbox import Sandbox, SandboxOptions
from tests.harness.proxy import API, PASSWORD, HeyGenBehindProxy, tls_serving
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio

KEY = "heygen-key-of-the-user"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def examine(
    out: Path, environment: Mapping[str, str], **changes: Any
) -> dict[str, list[Diagnosis]]:
    """Return what the checks find, by subject; no secret is in it."""
    settings = Settings(out=out, **changes)
    found = await diagnose(settings, {"XDG_STATE_HOME": str(out)}, environment, sandbox=False)
    for secret in (KEY, PASSWORD, *(environment.get(name, "-" * 9) for name in SECRETS)):
        assert secret not in repr(found)
    subjects = dict.fromkeys(diagnosis.subject for diagnosis in found)
    return {name: [each for each in found if each.subject == name] for name in subjects}


SECRETS = ("MUX_TOKEN_SECRET", "HEYGEN_API_KEY")


async def examine_heygen(out: Path, url: str, **more: Any) -> dict[str, list[Diagnosis]]:
    environment = {"HEYGEN_API_KEY": KEY, "HEYGEN_API_BASE": url, **more.pop("environment", {})}
    return await examine(out, environment, **more)


def levels(found: Mapping[str, list[Diagnosis]]) -> set[str]:
    return {diagnosis.level for each in found.values() for diagnosis in each}


async def test_doctor_at_the_sandbox_finds_no_problem_and_creates_nothing(tmp_path: Path) -> None:
    methods: set[str] = set()
    async with Sandbox() as sandbox:
        sandbox.on_request = lambda request: methods.add(request.method)
        found = await examine(tmp_path, sandbox.environment())
    assert levels(found) == {"ok", "skipped"}
    assert [each.level for each in found["mux"]] == ["ok", "ok"]  # API and stream
    assert found["mux key"][0].level == found["heygen key"][0].level == "ok"
    assert methods == {"GET"}
    assert list(tmp_path.iterdir()) == []


async def test_doctor_provider_without_key_is_skipped(tmp_path: Path) -> None:
    found = await examine(tmp_path, {})
    for name in ("mux", "heygen"):
        assert found[name][0].level == "skipped"
        assert "not set" in found[name][0].message
        assert f"{name} key" not in found


async def test_doctor_wrong_key_is_a_problem(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        found = await examine(tmp_path, {**sandbox.environment(), "HEYGEN_API_KEY": KEY})
    (key,) = found["heygen key"]
    assert (key.level, found["heygen"][0].level) == ("problem", "ok")
    assert "HEYGEN_API_KEY" in key.hint


async def test_doctor_missing_permission_is_a_problem(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(robots_permission=False)) as sandbox:
        found = await examine(tmp_path, sandbox.environment())
    assert found["mux key"][0].level == "problem"
    assert "Robots" in found["mux key"][0].message


async def test_doctor_half_of_the_credentials_is_a_problem(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        environment = {**sandbox.environment(), "MUX_TOKEN_SECRET": ""}
        found = await examine(tmp_path, {k: v for k, v in environment.items() if v})
    assert found["mux key"][0].message == "MUX_TOKEN_SECRET not set"


async def test_doctor_key_with_a_line_break_is_a_problem(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        broken = {**sandbox.environment(), "HEYGEN_API_KEY": "first-line\nsecond-line"}
        found = await examine(tmp_path, broken)
    assert "line break" in found["heygen key"][0].message


@pytest.mark.parametrize(
    ("offset", "level", "where"),
    [
        (20, None, ""),
        (100, "warning", "behind"),
        (-100, "warning", "ahead of"),
        (4000, "problem", "behind"),
    ],
)
async def test_doctor_clock_is_compared_with_the_date_of_responses(
    tmp_path: Path, offset: float, level: str | None, where: str
) -> None:
    async with Sandbox(SandboxOptions(epoch=time.time() + offset)) as sandbox:
        url = sandbox.environment()["HEYGEN_API_BASE"]
        found = await examine_heygen(tmp_path, url)
    if level is None:
        assert "clock" not in found
    else:
        assert found["clock"][0].level == level
        assert f" s {where} that of heygen" in found["clock"][0].message


async def test_doctor_unknown_authority_is_a_problem_until_it_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"data": []})

    async with tls_serving(handle, authority, "localhost") as port:
        url = f"https://localhost:{port}"
        unknown = await examine_heygen(tmp_path, url)
        known = await examine_heygen(tmp_path, url, ca_file=ca_file)
    assert "the certificate is not trusted" in unknown["heygen"][0].message
    assert "--ca" in unknown["heygen"][0].hint
    assert unknown["heygen key"][0].level == "problem"
    assert known["heygen"][0].level == known["heygen key"][0].level == "ok"


async def test_doctor_name_that_does_not_resolve_is_a_problem(tmp_path: Path) -> None:
    found = await examine_heygen(tmp_path, f"https://{API}")
    assert "cannot resolve the name" in found["heygen"][0].message
    assert "HEYGEN_API_BASE" in found["heygen"][0].hint


async def test_doctor_goes_through_the_proxy(tmp_path: Path) -> None:
    world = HeyGenBehindProxy()
    ca_file = tmp_path / "ca.pem"
    world.authority.cert_pem.write_to_path(str(ca_file))
    async with world.serving():
        right, wrong = world.proxy.url(), world.proxy.url(f"alice:{KEY}")
        url = f"https://{API}"
        found = await examine_heygen(
            tmp_path, url, environment={"HTTPS_PROXY": right}, ca_file=ca_file
        )
        refused = await examine_heygen(tmp_path, url, proxy=wrong, ca_file=ca_file)
    assert found["heygen"][0] == Diagnosis(
        "heygen", "ok", f"{API} through the proxy 127.0.0.1:{world.proxy.port} answers"
    )
    assert found["heygen key"][0].level == "ok"
    assert "(407)" in refused["heygen"][0].message
    assert "percent-encoded" in refused["heygen"][0].hint


async def test_doctor_proxy_that_cannot_be_reached_is_a_problem(tmp_path: Path) -> None:
    proxy = f"http://alice:{KEY}@127.0.0.1:1"
    found = await examine_heygen(tmp_path, f"https://{API}", proxy=proxy)
    assert "cannot connect to the proxy" in found["heygen"][0].message
    assert "--proxy" in found["heygen"][0].hint


async def test_doctor_setting_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    network = await examine_heygen(tmp_path, f"https://{API}", proxy="socks5://x")
    assert network["network"][0].level == "problem"
    base = await examine_heygen(tmp_path, f"http://{API}")
    assert base["heygen"][0].level == "problem"
    assert "HEYGEN_API_BASE" in base["heygen"][0].message


async def test_doctor_server_in_trouble_is_a_warning(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with http_server(handle) as url:
        found = await examine_heygen(tmp_path, url)
    assert found["heygen"][0].level == found["heygen key"][0].level == "warning"
