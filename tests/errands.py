"""What the tests have done in another process: it imports functions by their modules."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

from batchcap.errors import RowError


class Data:
    """Bytes that travel beside the pickle; in the other process, their length and their sum."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return Data, (pickle.PickleBuffer(self.data),)


def measured(*some: Data) -> list[tuple[str, int, int]]:
    return [(type(one.data).__name__, len(one.data), sum(one.data)) for one in some]


def failing(error: BaseException) -> None:
    raise error


def paused(seconds: float) -> float:
    time.sleep(seconds)
    return time.monotonic()


def lingering(path: str) -> None:
    """Something that takes longer than the parent lives."""
    time.sleep(0.5)
    Path(path).write_text("done")


def refused(code: str, message: str) -> None:
    raise RowError(code, message)


class Unknown:
    """Cannot be made again on the other side."""

    def __call__(self) -> None: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("nothing_of_this_name",)
