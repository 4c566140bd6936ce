"""`batchcap sandbox`: both providers' APIs and file hosts on loopback."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from batchcap.errors import FatalError, UsageError


def sandbox(  # noqa: PLR0913  # flags, not arguments: nobody calls it by position
    *,
    port: Annotated[int, Parameter(help="0: any free port.")] = 0,
    state: Annotated[
        Path | None, Parameter(help="Where jobs and clock are kept; without, they end with it.")
    ] = None,
    limits: Annotated[
        str,
        Parameter(help="none, or documented: Mux 1 POST/s and 5 others/s, HeyGen 5/s, with 429."),
    ] = "none",
    fault: Annotated[
        list[str] | None,
        Parameter(negative="", help="NAME=SHARE, repeatable; --fault help lists them."),
    ] = None,
    seed: Annotated[int, Parameter(help="Another seed, other faults and durations.")] = 0,
    speed: Annotated[float, Parameter(help="Sandbox seconds per second.")] = 1.0,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative="",
            help="FIELD=VALUE of any other option, in JSON or a word; repeatable.",
        ),
    ] = None,
    json: Annotated[bool, Parameter(negative="", help="The environment as one JSON line.")] = False,
    until_stdin_closes: Annotated[bool, Parameter(negative="", show=False)] = False,
) -> int:
    """Serve both providers on loopback and print the environment that points at them.

    Runs until Ctrl-C. In another terminal: paste the environment, then batchcap run.
    """
    import anyio

    from batchcap.sandbox import FAULTS, serve

    if fault == ["help"]:
        print("\n".join(f"{name:24} {what}" for name, what in FAULTS.items()))
        return 0
    options = _options(limits, fault or [], set_ or [], seed=seed, speed=speed)

    def announce(environment: Mapping[str, str]) -> None:
        _print(environment, json=json)

    try:
        anyio.run(serve, options, state, "127.0.0.1", port, announce, until_stdin_closes)
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise FatalError(
            f"the sandbox cannot listen on port {port}: {error.strerror}", hint="Try --port 0"
        ) from None
    return 0


def _options(limits: str, faults: list[str], fields: list[str], **given: Any) -> Any:
    import msgspec

    from batchcap.sandbox import SandboxOptions, parse_faults

    if limits not in {"none", "documented"}:
        raise UsageError(f"--limits: {limits!r} is neither none nor documented")
    start = SandboxOptions.documented() if limits == "documented" else SandboxOptions()
    try:
        given["faults"] = parse_faults(faults)
        for one in fields:
            name, _, value = one.partition("=")
            given[name.replace("-", "_")] = _value(value)
        return msgspec.convert({**msgspec.structs.asdict(start), **given}, SandboxOptions)
    except (ValueError, msgspec.ValidationError) as error:
        hint = "Like this: --set job_seconds=180 --set mux_webhook_url=http://127.0.0.1:8700/"
        raise UsageError(f"sandbox: {error}", hint=hint if fields else "") from None


def _value(text: str) -> Any:
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # a URL or a word, which needs no quotes within the shell's


def _print(environment: Mapping[str, str], *, json: bool) -> None:
    import orjson

    if json:
        sys.stdout.write(orjson.dumps(dict(environment)).decode() + "\n")
    else:
        print(
            "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
        )
    sys.stdout.flush()
