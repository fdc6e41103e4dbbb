"""janus's queue, one end of which is for tasks and the other for threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.loops import Loop
from support.required import library

janus = library("janus")

COUNT = 500


@pytest.mark.parametrize("size", [0, 1, 10])
async def test_what_threads_put_tasks_get_in_order(loop: Loop, size: int) -> None:
    queue: Any = janus.Queue(maxsize=size)

    def produce() -> None:
        for number in range(COUNT):
            queue.sync_q.put(number)
        queue.sync_q.join()

    thread = loop.run_in_executor(None, produce)
    for number in range(COUNT):
        assert await queue.async_q.get() == number
        queue.async_q.task_done()
    await thread
    await queue.aclose()


@pytest.mark.parametrize("size", [0, 1, 10])
async def test_what_tasks_put_threads_get_in_order(loop: Loop, size: int) -> None:
    queue: Any = janus.Queue(maxsize=size)

    def consume() -> list[int]:
        numbers = []
        for _ in range(COUNT):
            numbers.append(queue.sync_q.get(timeout=20))
            queue.sync_q.task_done()
        return numbers

    thread = loop.run_in_executor(None, consume)
    for number in range(COUNT):
        await queue.async_q.put(number)
    await queue.async_q.join()
    assert await thread == list(range(COUNT))
    await queue.aclose()


async def test_many_threads_and_many_tasks_pass_each_item_once(loop: Loop) -> None:
    there: Any = janus.Queue(maxsize=5)
    back: Any = janus.Queue(maxsize=5)

    def work() -> None:
        while (number := there.sync_q.get()) is not None:
            back.sync_q.put(number * 2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()

    async def send(start: int) -> None:
        for number in range(start, COUNT, 4):
            await there.async_q.put(number)

    async with asyncio.TaskGroup() as group:
        for start in range(4):
            group.create_task(send(start))
        answers = [await back.async_q.get() for _ in range(COUNT)]
    assert sorted(answers) == list(range(0, 2 * COUNT, 2))
    for _ in threads:
        await there.async_q.put(None)
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    await there.aclose()
    await back.aclose()


async def test_a_queue_that_is_shut_down_frees_who_waits(loop: Loop) -> None:
    queue: Any = janus.Queue()
    waiting = loop.create_task(queue.async_q.get())
    thread = loop.run_in_executor(None, queue.sync_q.get)
    await asyncio.sleep(0)
    queue.shutdown()
    with pytest.raises(janus.AsyncQueueShutDown):
        await waiting
    with pytest.raises(janus.SyncQueueShutDown):
        await thread
    await queue.wait_closed()
