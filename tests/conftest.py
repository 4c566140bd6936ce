"""Async tests run on a virtual clock, over real sockets on loopback."""

from __future__ import annotations

import pytest

from batchcap.virtual import VirtualLoop


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """The virtual loop, for every async test that does not say otherwise."""
    return "asyncio", {"loop_factory": VirtualLoop}
