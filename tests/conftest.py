"""Async tests run on a virtual clock, over real sockets on loopback."""

from __future__ import annotations

import gc
import os
import signal

import hypothesis
import pytest

from batchcap.testing import VirtualLoop

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it sends to the background; the commands under test inherit it,
    # and Ctrl-C would be nothing to them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The configuration of whoever runs the tests is none of theirs.
os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
for variable in [name for name in os.environ if name.startswith("BATCHCAP_")]:
    if variable not in {"BATCHCAP_LOOP", "BATCHCAP_SEEDS", "BATCHCAP_STORMS"}:
        del os.environ[variable]

# Tests start commands some hundred times, and without bytecode each start compiles batchcap.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# As a run does (`tune_gc`): there is little garbage in cycles, and looking for it takes time.
gc.freeze()
gc.set_threshold(50_000, 20, 100)

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("default")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run every async test on the virtual loop, unless it sets another backend."""
    return "asyncio", {"loop_factory": VirtualLoop}
