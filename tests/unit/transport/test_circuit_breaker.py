"""An outage is waited out, told once, and ends by itself."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from batchcap.domain.errors import Stopped
from batchcap.domain.events import Warned
from batchcap.domain.shutdown import ShutdownToken
from batchcap.transport.circuit_breaker import Circuit
from tests.harness.clock import clock
from tests.harness.observers import Recorder

pytestmark = pytest.mark.anyio


class World:
    def __init__(self) -> None:
        self.stop = ShutdownToken()
        self.observer = Recorder()
        self.circuit = Circuit("mux", self.stop, self.observer)

    def break_down(self) -> None:
        self.circuit.succeeded()
        for _ in range(10):
            self.circuit.failed()


async def test_nine_failures_in_a_row_open_nothing() -> None:
    world = World()
    world.circuit.succeeded()
    for _ in range(9):
        world.circuit.failed()
    assert not world.circuit.open


async def test_a_success_between_starts_the_count_anew() -> None:
    world = World()
    for _ in range(5):
        world.circuit.succeeded()
        for _ in range(9):
            world.circuit.failed()
    assert not world.circuit.open


async def test_what_was_never_reached_opens_nothing() -> None:
    world = World()
    for _ in range(100):
        world.circuit.failed()
    assert not world.circuit.open
    await world.circuit.enter(patient=True)


async def test_in_an_outage_one_at_a_time_goes_and_sees() -> None:
    world, went = World(), []
    world.break_down()

    async def go() -> None:
        await world.circuit.enter(patient=True)
        went.append(clock())
        world.circuit.failed()

    tasks = [asyncio.ensure_future(go()) for _ in range(5)]
    await asyncio.gather(*tasks)
    gaps = [b - a for a, b in itertools.pairwise(went)]
    assert all(gap > 1 for gap in gaps)
    assert gaps == sorted(gaps)


async def test_the_end_of_an_outage_lets_everybody_go() -> None:
    world, started = World(), clock()
    world.break_down()
    tasks = [asyncio.ensure_future(world.circuit.enter(patient=True)) for _ in range(50)]
    await asyncio.sleep(1)
    world.circuit.succeeded()
    await asyncio.gather(*tasks)
    assert clock() - started < 1.1
    told = [event.message for event in world.observer.of(Warned)]
    assert told == ["mux is out of reach; its rows wait for it", "mux answers again"]


async def test_who_is_not_patient_waits_for_ten_minutes_only() -> None:
    world = World()
    world.break_down()
    assert world.circuit.excuses(patient=False)
    await asyncio.sleep(601)
    assert not world.circuit.excuses(patient=False)
    assert not world.circuit.open or world.circuit.excuses(patient=True)
    await world.circuit.enter(patient=False)


async def test_a_stop_ends_the_wait() -> None:
    world = World()
    world.break_down()
    task = asyncio.ensure_future(world.circuit.enter(patient=True))
    await asyncio.sleep(0.5)
    world.stop.request()
    with pytest.raises(Stopped):
        await task
