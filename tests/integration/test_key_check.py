"""A key that is tried at the sandbox: what it may do, and that nothing is created."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchcap.app.key_check import KeyReport, NoResponse, check_key
from batchcap.domain.settings import Settings
from batchcap.providers import PROVIDERS, ProviderSpec
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.transport.network import Network
from tests.harness.clock import clock
from tests.harness.servers import http_server
from tests.third_provider.spec import SPEC as ACME

pytestmark = pytest.mark.anyio

KEY = {"HEYGEN_API_KEY": "heygen-key-of-the-user"}


async def report_of(spec: ProviderSpec, environment: Mapping[str, str]) -> KeyReport:
    settings = spec.configure(environment, Settings(out=Path("captions")), sandbox=False)
    return await check_key(spec, settings, Network())


async def try_key(provider: str, environment: Mapping[str, str] = {}, **options: Any) -> KeyReport:
    """Try a key at a sandbox, and check that it got nothing but one GET for each permission."""
    spec = PROVIDERS[provider]
    async with Sandbox(SandboxOptions(**options)) as sandbox:
        methods: list[str] = []
        sandbox.on_request = lambda request: methods.append(request.method)
        report = await report_of(spec, {**sandbox.environment(), **environment})
        assert methods == ["GET"] * len(spec.key_probes)
        assert not sandbox.request_log.leaks
        return report


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_key_check_right_key_has_every_permission(provider: str) -> None:
    report = await try_key(provider)
    assert report.is_accepted
    assert [permission.access for permission in report.permissions] == ["allowed"] * len(
        PROVIDERS[provider].key_probes
    )


@pytest.mark.parametrize(
    ("provider", "variable"), [("mux", "MUX_TOKEN_SECRET"), ("heygen", "HEYGEN_API_KEY")]
)
async def test_key_check_wrong_key_is_not_accepted(provider: str, variable: str) -> None:
    report = await try_key(provider, {variable: "a-wrong-key-of-somebody"})
    assert not report.is_accepted
    assert report.verdict().startswith("the key is not accepted: 401 unauthorized")
    assert variable in report.hint()
    assert "a-wrong-key" not in repr(report)


@pytest.mark.parametrize(
    ("options", "status"), [({"robots_permission": False}, "401"), ({"robots_terms": False}, "403")]
)
async def test_key_check_missing_permission_is_named(options: Any, status: str) -> None:
    report = await try_key("mux", **options)
    assert not report.is_accepted
    assert [permission.access for permission in report.permissions] == ["allowed", "refused"]
    shown = f"the key may not use Robots (translate captions): {status}"
    assert report.verdict().startswith(shown)
    assert "new token" in report.hint()


@pytest.mark.parametrize("option", ["heygen_forbidden", "heygen_no_credit"])
async def test_key_check_refused_account_is_named(option: str) -> None:
    options: dict[str, Any] = {option: True}
    report = await try_key("heygen", **options)
    assert report.verdict().startswith("the key may not use translations (list and read): 40")


@pytest.mark.parametrize(
    "options", [{"faults": {"server_error": 1.0}}, {"heygen_v3": "gone404"}], ids=["error", "gone"]
)
async def test_key_check_response_that_shows_nothing_is_neither_yes_nor_no(options: Any) -> None:
    report = await try_key("heygen", **options)
    assert not report.is_accepted
    assert "does not show whether" in report.verdict()


@pytest.mark.parametrize("body", [b"<title>Sign in</title>", b"{}"], ids=["html", "json"])
async def test_key_check_success_of_another_server_shows_nothing(body: bytes) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with http_server(handle) as url:
        report = await report_of(PROVIDERS["heygen"], {**KEY, "HEYGEN_API_BASE": url})
    assert not report.is_accepted
    assert [permission.access for permission in report.permissions] == ["unknown"]


async def test_key_check_server_that_repeats_the_key_does_not_show_it() -> None:
    async def handle(request: web.Request) -> web.Response:
        error = {"code": "unauthorized", "message": f"wrong: {request.headers['X-Api-Key']}"}
        return web.json_response({"error": error}, status=401)

    async with http_server(handle) as url:
        report = await report_of(PROVIDERS["heygen"], {**KEY, "HEYGEN_API_BASE": url})
    assert report.verdict().endswith("wrong: ***")
    assert KEY["HEYGEN_API_KEY"] not in repr(report)


async def test_key_check_late_response_ends_at_the_time_limit() -> None:
    async def handle(request: web.Request) -> web.Response:
        await asyncio.sleep(50.0)
        return web.json_response({"data": []})

    async with http_server(handle) as url:
        began = clock()
        with pytest.raises(NoResponse, match="it took longer than 12 s"):
            await report_of(PROVIDERS["heygen"], {**KEY, "HEYGEN_API_BASE": url})
        assert 12.0 <= clock() - began < 13.0


async def test_key_check_without_a_probe_says_so() -> None:
    report = await report_of(ACME, {"ACME_KEY": "key"})
    assert report.verdict() == "no request shows whether the key is accepted"


async def test_key_check_without_a_response_raises() -> None:
    async with http_server(None) as url:  # type: ignore[arg-type]  # is never called
        pass
    with pytest.raises(NoResponse, match=r"heygen: no response from .*: Connection refused"):
        await report_of(PROVIDERS["heygen"], {**KEY, "HEYGEN_API_BASE": url})
