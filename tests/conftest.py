"""Async tests run on a virtual clock, over real sockets on loopback."""

from __future__ import annotations

import signal

import hypothesis
import pytest

from batchcap.testing import VirtualLoop

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it sends to the background; the commands under test inherit it,
    # and Ctrl-C would be nothing to them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("default")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """The virtual loop, for every async test that does not say otherwise."""
    return "asyncio", {"loop_factory": VirtualLoop}
