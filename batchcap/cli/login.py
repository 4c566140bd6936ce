"""`batchcap login`: tries a key, and says what it may do. Stores nothing."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import Parameter

from batchcap.app.key_check import KeyReport, check_key
from batchcap.app.providers import providers_in_use
from batchcap.cli.options import CaOption, ProxyOption, SandboxFlag
from batchcap.cli.runtime import provider_environment, run_async
from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable
from batchcap.providers import PROVIDERS
from batchcap.transport.network import network_settings


def login(
    provider: Annotated[str, Parameter(help="Whose key to try: mux or heygen.")],
    /,
    *,
    sandbox: SandboxFlag = False,
    proxy: ProxyOption = "",
    ca_file: CaOption = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Try the key in the environment with GET requests; store nothing."""
    if provider not in PROVIDERS:
        raise UsageError(
            f"there is no provider {provider!r}", hint=f"One of: {', '.join(PROVIDERS)}"
        )
    report = run_async(lambda: _check(provider, proxy, ca_file, sandbox=sandbox))
    sys.stdout.write(_as_json(report) if json else _as_text(report))
    sys.stdout.flush()
    if not report.is_accepted:
        raise FatalError(f"{provider}: {report.verdict()}", hint=report.hint())
    return 0


async def _check(provider: str, proxy: str, ca_file: Path | None, *, sandbox: bool) -> KeyReport:
    with tempfile.TemporaryDirectory(prefix="batchcap-login-") as folder:
        async with provider_environment(Path(folder), sandbox=sandbox) as environment:
            settings = Settings(out=Path(folder), proxy=proxy, ca_file=ca_file)
            configured = providers_in_use([provider], environment, settings, sandbox=sandbox)
            network = network_settings(environment, proxy, ca_file)
            return await check_key(PROVIDERS[provider], configured[provider], network)


def _as_text(report: KeyReport) -> str:
    lines = [f"{report.provider}: the key is accepted"] if report.is_accepted else []
    for permission in report.permissions:
        reason = f": {permission.message}" if permission.message else ""
        lines.append(f"  {permission.access:8} {permission.name}{reason}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _as_json(report: KeyReport) -> str:
    document = {
        "provider": report.provider,
        "accepted": report.is_accepted,
        "verdict": report.verdict(),
        "hint": report.hint(),
        "permissions": [
            {"name": p.name, "access": p.access, "message": p.message, "hint": p.hint}
            for p in report.permissions
        ],
    }
    return orjson.dumps(document).decode() + "\n"
