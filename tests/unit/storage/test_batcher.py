"""The batcher, in the event loop and with a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import anyio
import pytest

from batchcap.storage.batcher import Batcher

pytestmark = pytest.mark.anyio


class Doubler:
    """Doubles numbers; odd ones above 100 fail alone, a zero fails its whole batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.before_first: Callable[[], None] | None = None

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        if self.before_first is not None and not self.batches:
            self.before_first()
        self.batches.append(list(items))
        self.threads.add(threading.get_ident())
        if 0 in items:
            raise OSError("the whole batch")
        return [ValueError(str(item)) if item > 100 and item % 2 else item * 2 for item in items]


@pytest.fixture(params=["inline", "threaded"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "inline":
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_batcher_submit_returns_the_result_of_its_item(executor: Executor | None) -> None:
    batcher = Batcher(Doubler(), executor)
    assert await asyncio.gather(*map(batcher.submit, range(1, 50))) == list(range(2, 100, 2))


async def test_batcher_items_of_one_turn_share_a_batch(executor: Executor | None) -> None:
    work = Doubler()
    batcher = Batcher(work, executor)
    await asyncio.gather(*map(batcher.submit, range(1, 50)))
    assert work.batches == [list(range(1, 50))]


async def test_batcher_with_a_thread_waits_for_more_items() -> None:
    work = Doubler()
    with ThreadPoolExecutor(1) as pool:
        batcher = Batcher(work, pool)
        first = asyncio.ensure_future(batcher.submit(1))
        await asyncio.sleep(0.001)
        assert await batcher.submit(2) == 4
        assert await first == 2
    assert work.batches == [[1, 2]]


@pytest.mark.parametrize(("count", "waits"), [(1, True), (200, False)])
async def test_batcher_with_a_full_batch_does_not_wait(count: int, waits: bool) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        batcher, since = Batcher(Doubler(), pool), loop.time()
        await asyncio.gather(*map(batcher.submit, range(2, 2 * count + 2, 2)))
    assert (loop.time() - since > 0.001) is waits


async def test_batcher_items_during_a_batch_share_the_next() -> None:
    work, loop = Doubler(), asyncio.get_running_loop()
    others: list[asyncio.Future[int]] = []
    are_submitted = threading.Event()

    def submit_others() -> None:
        others.extend(asyncio.ensure_future(batcher.submit(number)) for number in (2, 3, 4))
        loop.call_soon(are_submitted.set)  # after the first step of each of them

    def wait_for_others() -> None:
        loop.call_soon_threadsafe(submit_others)
        assert are_submitted.wait(10)

    work.before_first = wait_for_others
    with ThreadPoolExecutor(1) as pool:
        batcher = Batcher(work, pool)
        assert await batcher.submit(1) == 2
        assert await asyncio.gather(*others) == [4, 6, 8]
    assert work.batches == [[1], [2, 3, 4]]


async def test_batcher_work_runs_in_its_executor(executor: Executor | None) -> None:
    work = Doubler()
    await Batcher(work, executor).submit(1)
    inline = work.threads == {threading.get_ident()}
    assert inline is (executor is None)


async def test_batcher_item_that_fails_does_not_affect_others(executor: Executor | None) -> None:
    batcher = Batcher(Doubler(), executor)
    results = await asyncio.gather(*map(batcher.submit, (1, 101, 3)), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], ValueError)
    assert results[2] == 6


async def test_batcher_batch_that_fails_fails_only_its_items(
    executor: Executor | None,
) -> None:
    batcher = Batcher(Doubler(), executor)
    results = await asyncio.gather(*map(batcher.submit, (1, 0, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 3
    assert await batcher.submit(4) == 8


async def test_batcher_submit_nowait_returns_at_once_and_drain_waits(
    executor: Executor | None,
) -> None:
    work = Doubler()
    batcher = Batcher(work, executor)
    batcher.submit_nowait(7)
    assert not work.batches
    await batcher.drain()
    assert work.batches == [[7]]


async def test_batcher_submit_nowait_keeps_its_place_before_submit(
    executor: Executor | None,
) -> None:
    work = Doubler()
    batcher = Batcher(work, executor)
    batcher.submit_nowait(7)
    assert await batcher.submit(8) == 16
    assert [item for batch in work.batches for item in batch] == [7, 8]


async def test_batcher_submit_nowait_that_fails_is_silent(executor: Executor | None) -> None:
    batcher = Batcher(Doubler(), executor)
    batcher.submit_nowait(0)
    await batcher.drain()
    assert await batcher.submit(1) == 2


async def test_batcher_drain_without_items_returns(executor: Executor | None) -> None:
    batcher = Batcher(Doubler(), executor)
    await batcher.drain()
    await batcher.submit(1)
    await batcher.drain()


async def test_batcher_item_of_a_cancelled_caller_is_completed(
    executor: Executor | None,
) -> None:
    work = Doubler()
    batcher = Batcher(work, executor)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await batcher.submit(5)
    assert scope.cancelled_caught
    other = asyncio.ensure_future(batcher.submit(6))
    assert await other == 12
    await batcher.drain()
    assert [item for batch in work.batches for item in batch] == [5, 6]


async def test_batcher_item_of_a_cancelled_caller_may_fail(
    executor: Executor | None,
) -> None:
    batcher = Batcher(Doubler(), executor)
    task = asyncio.ensure_future(batcher.submit(101))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await batcher.submit(1) == 2


async def test_batcher_drain_waits_for_items_that_came_meanwhile() -> None:
    done: list[int] = []
    more: list[Callable[[], None]] = []

    def work(items: Sequence[int]) -> Sequence[None]:
        done.extend(items)
        if more:
            more.pop()()
        return [None] * len(items)

    batcher = Batcher(work, None)
    more.append(lambda: batcher.submit_nowait(2))
    batcher.submit_nowait(1)
    await batcher.drain()
    assert done == [1, 2]
