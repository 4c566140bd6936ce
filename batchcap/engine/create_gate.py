"""Whether the rows of a lane may create jobs.

A provider that refuses creates (a units limit, terms that are not accepted) still serves the
jobs that were paid for. So only the rows without a job stop. The user's own limits of units
and time stop them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from batchcap.domain.errors import CreatesRefused


class CreateGate:
    """Open until creates are refused; it stays closed until the run ends."""

    def __init__(self) -> None:
        self._error: CreatesRefused | None = None
        self.is_reported = False
        """Whether the user knows why it is closed."""
        self._waiting: set[anyio.CancelScope] = set()

    def close(self, error: CreatesRefused) -> None:
        """Let no row past any more, and end the waits. The first error counts."""
        if self._error is None:
            self._error = error
            for scope in self._waiting:
                scope.cancel()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Run the block, which waits for something that a create needs.

        Raises:
            CreatesRefused: The gate is closed, or was closed meanwhile; the wait was cancelled.
        """
        self._check()
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            error = self._error
            raise CreatesRefused(error.message, hint=error.hint, provider=error.provider)
