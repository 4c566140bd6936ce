"""Stops a provider that has never responded in this run, a minute after the first request.

Requests wait for the end of an outage (`circuit_breaker`). But if a name does not resolve, a
proxy refuses or a certificate is not trusted, waiting does not help, and the user must know at
once.
"""

from __future__ import annotations

import asyncio

from batchcap.domain.errors import FatalError
from batchcap.domain.events import Warned
from batchcap.domain.protocols import Observer

_LIMIT = 60.0  # seconds from the first request to the last attempt
_MIN_DELAY, _MAX_DELAY = 1.0, 8.0  # seconds between two attempts
_HINT = "Check the network, HTTPS_PROXY or --proxy, and --ca, then: batchcap resume"


class FirstContact:
    """Whether a provider has answered in this run. Any HTTP response counts, a 503 too."""

    def __init__(self, provider: str, observer: Observer) -> None:
        self._provider, self._observer = provider, observer
        self._began: float | None = None
        self._has_warned = False
        self.is_made = False

    def begin(self) -> None:
        """Note that a request is about to be sent; the first one starts the clock."""
        if self._began is None:
            self._began = _clock()

    def failed(self, reason: str) -> None:
        """Note that a request got no response and created no job. `reason` names the host.

        Raises:
            FatalError: The minute is over, and the provider has never responded.
        """
        self.warn(reason)
        if not self.is_made and self._left() <= 0:
            raise FatalError(f"{self._provider}: {reason}", hint=_HINT, provider=self._provider)

    def warn(self, reason: str) -> None:
        """Report the first failure, while there is time to do something about it."""
        if not self.is_made and not self._has_warned:
            self._has_warned = True
            message = f"{self._provider}: {reason}; trying for {_LIMIT:.0f} s"
            self._observer(Warned(message))

    def delay(self) -> float:
        """Seconds to wait before the next attempt; the last one is made when the time is over."""
        left = self._left()
        wanted = (_LIMIT - left) / 4
        return max(0.0, min(max(wanted, _MIN_DELAY), _MAX_DELAY, left))

    def _left(self) -> float:
        return _LIMIT if self._began is None else self._began + _LIMIT - _clock()


def _clock() -> float:
    return asyncio.get_running_loop().time()
