"""What asynchronous commands run in: the event loop, and the providers' environment."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import anyio

from batchcap.app.providers import open_providers
from batchcap.cli.configuration.environment import environment
from batchcap.domain.errors import BatchcapError, FatalError
from batchcap.domain.protocols import KeyValueStore, Observer, Provider
from batchcap.domain.settings import Settings, use_uvloop
from batchcap.sandbox.child_process import ChildFailedError, sandbox_process
from batchcap.storage.ledger import folder

T = TypeVar("T")

GC_THRESHOLD = 50_000
"""Surviving objects after which the garbage collector collects the young generation."""


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` to its end, on uvloop if it is installed (`pip install 'batchcap[fast]'`).

    Raises:
        BatchcapError: As `work` raised it, without the exception groups of task groups.
    """
    has_uvloop = use_uvloop(os.environ) and find_spec("uvloop") is not None
    tune_gc()
    try:
        return anyio.run(work, backend_options={"use_uvloop": has_uvloop})
    except BaseExceptionGroup as group:
        raise _unwrap(group) from None


def tune_gc() -> None:
    """Make the garbage collector run less often, and exclude imported modules from it.

    A run leaves few reference cycles. With Python's defaults a sixth of its CPU goes into
    looking for them, and a full collection stops the event loop for 40 ms.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


def _unwrap(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of batchcap in the group, or the group if there is none."""
    errors = group.subgroup(BatchcapError)
    cause: BaseException = errors or group
    while isinstance(cause, BaseExceptionGroup) and errors:
        cause = cause.exceptions[0]
    return cause


@asynccontextmanager
async def provider_environment(out: Path, *, sandbox: bool) -> AsyncIterator[Mapping[str, str]]:
    """Yield the environment that names the providers; with `sandbox`, start the simulators.

    Raises:
        FatalError: The sandbox did not start, or ended early.
    """
    if not sandbox:
        yield environment()
        return
    try:
        async with sandbox_process(folder(out) / "sandbox.sqlite") as variables:
            yield variables
    except ChildFailedError as error:
        raise FatalError(
            str(error), hint="Its own message is above. To see it alone: batchcap sandbox"
        ) from None


@asynccontextmanager
async def opened_providers(  # what opening depends on, given by name
    settings: Settings,
    memory: KeyValueStore,
    names: list[str],
    observer: Observer,
    *,
    sandbox: bool,
    place: Path | None = None,
) -> AsyncIterator[dict[str, Provider]]:
    """Open some providers, to be asked without an engine; those of the sandbox if so chosen.

    The sandbox keeps its state in the ledger's folder, or in that of `place`.

    Raises:
        UsageError: The ledger belongs to another origin, or an option is invalid.
        FatalError: A credential is missing, or the sandbox did not start.
    """
    async with (
        provider_environment(place or settings.out, sandbox=sandbox and bool(names)) as variables,
        open_providers(settings, memory, names, variables, observer, sandbox=sandbox) as providers,
    ):
        yield providers
