"""Locks, events, conditions, semaphores, barriers and queues on the loop."""

from __future__ import annotations

import asyncio
import sys

import pytest
from support.loops import Loop, LoopFactory
from support.net import turns


async def test_a_lock_is_held_by_one_and_handed_on_in_order(loop: Loop) -> None:
    lock = asyncio.Lock()
    order: list[int] = []
    inside = 0

    async def work(number: int) -> None:
        nonlocal inside
        async with lock:
            inside += 1
            assert inside == 1
            await turns(2)
            order.append(number)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(20)))
    assert order == list(range(20))
    assert not lock.locked()


async def test_a_cancelled_waiter_does_not_lose_the_lock(loop: Loop) -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    first = loop.create_task(lock.acquire())
    second = loop.create_task(lock.acquire())
    await asyncio.sleep(0)
    lock.release()
    first.cancel()
    await asyncio.wait([first])
    assert await second
    lock.release()
    assert not lock.locked()


async def test_an_event_wakes_all_who_wait(loop: Loop) -> None:
    event = asyncio.Event()
    waiters = [loop.create_task(event.wait()) for _ in range(20)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    event.set()
    assert await asyncio.gather(*waiters) == [True] * 20
    event.clear()
    assert not event.is_set()


async def test_a_condition_wakes_as_many_as_asked(loop: Loop) -> None:
    condition = asyncio.Condition()
    woken: list[int] = []

    async def wait(number: int) -> None:
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [loop.create_task(wait(number)) for number in range(5)]
    await turns(3)
    async with condition:
        condition.notify(2)
    await turns(5)
    assert woken == [0, 1]
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    assert woken == [0, 1, 2, 3, 4]


async def test_a_condition_waits_for_its_predicate(loop: Loop) -> None:
    condition = asyncio.Condition()
    value = 0

    async def wait() -> bool:
        async with condition:
            return await condition.wait_for(lambda: value >= 3)

    task = loop.create_task(wait())
    for _ in range(3):
        await turns(2)
        assert not task.done()
        async with condition:
            value += 1
            condition.notify_all()
    assert await task is True


async def test_a_semaphore_bounds_how_many_are_inside(loop: Loop) -> None:
    semaphore = asyncio.BoundedSemaphore(3)
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await turns(3)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()


async def test_a_barrier_lets_all_pass_together(loop: Loop) -> None:
    barrier = asyncio.Barrier(3)
    passed: list[int] = []

    async def arrive() -> None:
        passed.append(await barrier.wait())

    first, second = loop.create_task(arrive()), loop.create_task(arrive())
    await turns(3)
    assert passed == []
    await asyncio.gather(first, second, arrive())
    assert sorted(passed) == [0, 1, 2]


async def test_a_queue_keeps_order_and_bounds_its_size(loop: Loop) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    received: list[int] = []

    async def produce() -> None:
        for number in range(100):
            await queue.put(number)
            assert queue.qsize() <= 2

    async def consume() -> None:
        for _ in range(100):
            received.append(await queue.get())
            queue.task_done()

    await asyncio.gather(produce(), consume())
    await queue.join()
    assert received == list(range(100))
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


async def test_a_cancelled_get_does_not_lose_an_item(loop: Loop) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    getter = loop.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait("item")
    getter.cancel()
    await asyncio.wait([getter])
    assert await queue.get() == "item"


async def test_priority_and_last_in_queues(loop: Loop) -> None:
    priority: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    last_in: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    for number in (2, 0, 1):
        await priority.put(number)
        await last_in.put(number)
    assert [await priority.get() for _ in range(3)] == [0, 1, 2]
    assert [await last_in.get() for _ in range(3)] == [1, 0, 2]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Queue.shutdown came with 3.13")
async def test_a_queue_that_is_shut_down_wakes_its_getters(loop: Loop) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    getter = loop.create_task(queue.get())
    await asyncio.sleep(0)
    queue.shutdown()
    with pytest.raises(asyncio.QueueShutDown):
        await getter


def test_a_lock_belongs_to_the_loop_that_first_waited_on_it(loop_factory: LoopFactory) -> None:
    lock = asyncio.Lock()

    async def contend() -> None:
        await lock.acquire()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lock.acquire(), 0.001)
        lock.release()

    first, second = loop_factory(), loop_factory()
    first.run_until_complete(contend())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        second.run_until_complete(contend())
    first.close()
    second.close()
