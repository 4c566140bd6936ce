"""The circuit breaker: an outage is waited out, and reported once."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from batchcap.domain.errors import Stopped
from batchcap.domain.events import Recovered, Warned
from batchcap.domain.shutdown import ShutdownToken
from batchcap.transport.circuit_breaker import CircuitBreaker
from tests.harness.clock import clock
from tests.harness.observers import Recorder

pytestmark = pytest.mark.anyio


class CircuitHarness:
    def __init__(self) -> None:
        self.stop = ShutdownToken()
        self.observer = Recorder()
        self.circuit = CircuitBreaker("mux", self.stop, self.observer)

    def break_down(self) -> None:
        self.circuit.record_success()
        for _ in range(10):
            self.circuit.record_failure()


async def test_circuit_after_nine_failures_is_closed() -> None:
    harness = CircuitHarness()
    harness.circuit.record_success()
    for _ in range(9):
        harness.circuit.record_failure()
    assert not harness.circuit.is_open


async def test_circuit_success_resets_the_count_of_failures() -> None:
    harness = CircuitHarness()
    for _ in range(5):
        harness.circuit.record_success()
        for _ in range(9):
            harness.circuit.record_failure()
    assert not harness.circuit.is_open


async def test_circuit_before_the_first_success_never_opens() -> None:
    harness = CircuitHarness()
    for _ in range(100):
        harness.circuit.record_failure()
    assert not harness.circuit.is_open
    await harness.circuit.wait_until_closed(extended_wait=True)


async def test_circuit_open_lets_one_probe_pass_at_a_time() -> None:
    harness, went = CircuitHarness(), []
    harness.break_down()

    async def go() -> None:
        await harness.circuit.wait_until_closed(extended_wait=True)
        went.append(clock())
        harness.circuit.record_failure()

    tasks = [asyncio.ensure_future(go()) for _ in range(5)]
    await asyncio.gather(*tasks)
    gaps = [b - a for a, b in itertools.pairwise(went)]
    assert all(gap > 1 for gap in gaps)
    assert gaps == sorted(gaps)


async def test_circuit_closed_again_lets_all_requests_pass() -> None:
    harness, started = CircuitHarness(), clock()
    harness.break_down()
    tasks = [
        asyncio.ensure_future(harness.circuit.wait_until_closed(extended_wait=True))
        for _ in range(50)
    ]
    await asyncio.sleep(1)
    harness.circuit.record_success()
    await asyncio.gather(*tasks)
    assert clock() - started < 1.1
    warnings = [event.message for event in harness.observer.of(Warned)]
    assert harness.observer.of(Recovered) == [Recovered("mux")]
    assert warnings == [
        "mux is not responding; waiting for it to recover",
    ]


async def test_circuit_open_without_extended_wait_waits_ten_minutes_only() -> None:
    harness = CircuitHarness()
    harness.break_down()
    assert harness.circuit.is_outage(extended_wait=False)
    await asyncio.sleep(601)
    assert not harness.circuit.is_outage(extended_wait=False)
    assert not harness.circuit.is_open or harness.circuit.is_outage(extended_wait=True)
    await harness.circuit.wait_until_closed(extended_wait=False)


async def test_circuit_stopped_while_open_ends_the_wait() -> None:
    harness = CircuitHarness()
    harness.break_down()
    task = asyncio.ensure_future(harness.circuit.wait_until_closed(extended_wait=True))
    await asyncio.sleep(0.5)
    harness.stop.request()
    with pytest.raises(Stopped):
        await task
