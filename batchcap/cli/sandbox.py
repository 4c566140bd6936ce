"""`batchcap sandbox`: both providers' APIs and file hosts on loopback."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import orjson
from cyclopts import Parameter

from batchcap.domain.errors import FatalError, UsageError
from batchcap.sandbox import FAULTS, SandboxOptions, parse_faults, run_sandbox


def sandbox(  # noqa: PLR0913  # each parameter is an option of the command line
    *,
    port: Annotated[int, Parameter(help="0: any free port.")] = 0,
    state: Annotated[
        Path | None, Parameter(help="File that keeps jobs and clock; without it they are lost.")
    ] = None,
    limits: Annotated[
        str,
        Parameter(help="none, or documented: Mux 1 POST/s and 5 others/s, HeyGen 5/s, with 429."),
    ] = "none",
    fault: Annotated[
        list[str] | None,
        Parameter(negative="", help="NAME=SHARE, repeatable; --fault help lists them."),
    ] = None,
    seed: Annotated[int, Parameter(help="Another seed gives other faults and durations.")] = 0,
    speed: Annotated[float, Parameter(help="Sandbox seconds per second.")] = 1.0,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative="",
            help="FIELD=VALUE of any other option, as JSON or a plain word; repeatable.",
        ),
    ] = None,
    json: Annotated[
        bool, Parameter(negative="", help="Print the environment as one JSON line.")
    ] = False,
    until_stdin_closes: Annotated[bool, Parameter(negative="", show=False)] = False,
) -> int:
    """Serve both providers on loopback and print the environment that points to them."""
    if fault == ["help"]:
        print("\n".join(f"{name:24} {meaning}" for name, meaning in FAULTS.items()))
        return 0
    options = _sandbox_options(limits, fault or [], set_ or [], seed=seed, speed=speed)

    def announce(environment: Mapping[str, str]) -> None:
        _print_environment(environment, json=json)

    try:
        anyio.run(run_sandbox, options, state, "127.0.0.1", port, announce, until_stdin_closes)
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise FatalError(
            f"the sandbox cannot listen on port {port}: {error.strerror}", hint="Try --port 0"
        ) from None
    return 0


def _sandbox_options(
    limits: str, faults: list[str], assignments: list[str], **fields: Any
) -> SandboxOptions:
    if limits not in {"none", "documented"}:
        raise UsageError(f"--limits: invalid {limits!r}", hint="Either none or documented.")
    base = SandboxOptions.documented() if limits == "documented" else SandboxOptions()
    try:
        fields["faults"] = parse_faults(faults)
        for assignment in assignments:
            name, _, value = assignment.partition("=")
            fields[name.replace("-", "_")] = _parse_value(value)
        return msgspec.convert({**msgspec.structs.asdict(base), **fields}, SandboxOptions)
    except (ValueError, msgspec.ValidationError) as error:
        hint = "Like this: --set job_seconds=180 --set mux_webhook_url=http://127.0.0.1:8700/"
        raise UsageError(f"sandbox: {error}", hint=hint if assignments else "") from None


def _parse_value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # a URL or a word, so that the shell needs no second pair of quotes


def _print_environment(environment: Mapping[str, str], *, json: bool) -> None:
    if json:
        sys.stdout.write(orjson.dumps(dict(environment)).decode() + "\n")
    else:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
