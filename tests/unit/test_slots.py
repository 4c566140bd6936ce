"""So many at once, first come first served."""

from __future__ import annotations

import asyncio

import pytest

from batchcap.slots import Slots

pytestmark = pytest.mark.anyio


async def test_no_more_than_the_count_are_inside_and_all_get_in_in_order() -> None:
    slots, inside, most, order = Slots(3), 0, 0, []

    async def one(number: int) -> None:
        nonlocal inside, most
        async with slots:
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(number % 4)
            inside -= 1

    await asyncio.gather(*(one(number) for number in range(50)))
    assert (most, inside, slots.free) == (3, 0, 3)
    assert order == list(range(50))


async def test_who_is_cancelled_in_line_takes_no_slot_along() -> None:
    slots = Slots(1)
    await slots.acquire()
    line = [asyncio.ensure_future(slots.acquire()) for _ in range(4)]
    await asyncio.sleep(0)
    line[0].cancel()
    await asyncio.sleep(0)
    line[2].cancel()  # is still in line when its turn comes
    slots.release()
    line[1].cancel()  # has just been given the slot
    await asyncio.wait(line, timeout=1)
    assert [one.cancelled() for one in line] == [True, True, True, False]
    slots.release()
    assert slots.free == 1
