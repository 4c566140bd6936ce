"""`batchcap doctor`: what is wrong with machine, network, keys or folder, and the next step."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.app.doctor import diagnose
from batchcap.cli.command_lines import complete_commands, hint_for
from batchcap.cli.configuration.environment import environment
from batchcap.cli.options import CaOption, Out, ProxyOption, SandboxFlag
from batchcap.cli.runtime import provider_environment, run_async
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable


def doctor(
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    proxy: ProxyOption = "",
    ca_file: CaOption = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Look for what is wrong with machine, network, keys and folder."""
    settings = Settings(out=out, proxy=proxy, ca_file=ca_file)
    return run_async(lambda: _examine(settings, sandbox=sandbox, json=json))


async def _examine(settings: Settings, *, sandbox: bool, json: bool) -> int:
    """Print what the checks find, and return the exit status.

    Prints before the event loop ends, which waits for names that are still being resolved.
    """
    with tempfile.TemporaryDirectory(prefix="batchcap-doctor-") as folder:
        async with provider_environment(Path(folder), sandbox=sandbox) as providers:
            diagnoses = await diagnose(settings, environment(), providers, sandbox=sandbox)
    found = [_completed(diagnosis, settings.out, sandbox=sandbox) for diagnosis in diagnoses]
    sys.stdout.write(_as_json(found) if json else _as_text(found))
    sys.stdout.flush()
    return int(_has_problem(found))


def _completed(diagnosis: Diagnosis, out: Path, *, sandbox: bool) -> Diagnosis:
    """Return a diagnosis with the commands to type in this folder."""
    hint = complete_commands(hint_for("doctor", diagnosis.hint), out, sandbox=sandbox)
    return msgspec.structs.replace(diagnosis, hint=hint)


def _has_problem(found: Sequence[Diagnosis]) -> bool:
    return any(diagnosis.level == "problem" for diagnosis in found)


def _as_text(found: Sequence[Diagnosis]) -> str:
    width = max(len(diagnosis.subject) for diagnosis in found)
    lines = []
    for diagnosis in found:
        lines.append(f"{diagnosis.level:8} {diagnosis.subject:{width}}  {diagnosis.message}")
        if diagnosis.hint:
            lines.append(f"{'':8} {'':{width}}  hint: {diagnosis.hint}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _as_json(found: Sequence[Diagnosis]) -> str:
    document = {"ok": not _has_problem(found), "checks": found}
    return msgspec.json.encode(document).decode() + "\n"
