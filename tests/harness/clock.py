"""The virtual clock that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from batchcap.testing import VirtualLoop

T = TypeVar("T")


EPOCH = 1_790_000_000.0


def clock() -> float:
    return asyncio.get_running_loop().time()


def now() -> float:
    """Return unix seconds that advance with the loop's clock."""
    return EPOCH + clock()


def on_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, for hypothesis."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
