"""`asyncio.all_tasks()`: the tasks of a loop that are not done."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from asyncio import all_tasks
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import Loop


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_tasks_leave_in_whatever_order_they_end(loop: Loop) -> None:
    before = all_tasks()
    tasks = [loop.create_task(forever()) for _ in range(6)]
    left = set(tasks)
    for at in (2, 5, 0, 3, 1, 4):
        assert all_tasks() - before == left
        await ended(tasks[at])
        left.remove(tasks[at])
    assert all_tasks() == before


def test_each_loop_has_its_own_and_asyncios_loops_theirs(loop: Loop) -> None:
    other = asyncio.SelectorEventLoop()
    tasks = {each: each.create_task(forever()) for each in (loop, other)}
    tasks_of_asyncio = asyncio.tasks._CTask(forever(), loop=loop)  # type: ignore[attr-defined]
    try:
        assert all_tasks(loop) == {tasks[loop], tasks_of_asyncio}
        assert all_tasks(other) == {tasks[other]}
    finally:
        loop.run_until_complete(ended(tasks[loop], tasks_of_asyncio))
        other.run_until_complete(ended(tasks[other]))
        assert all_tasks(loop) == all_tasks(other) == set()
        other.close()


def test_a_lost_task_is_not_kept_and_is_reported(loop: Loop, strays: Strays) -> None:
    task = loop.create_task(forever())
    loop.run_until_complete(asyncio.sleep(0))
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
    assert all_tasks(loop) == set()
    assert strays.take_one()["message"] == "Task was destroyed but it is pending!"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio's tasks are in no set there")
async def test_who_asks_asyncios_set_finds_what_all_tasks_does(loop: Loop) -> None:
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    scheduled: Any = getattr(asyncio.tasks, name)
    length = len(scheduled)
    task = loop.create_task(forever())
    assert task in scheduled
    assert len(scheduled) == length + 1
    asyncio.tasks._unregister_task(task)
    assert task not in scheduled
    assert task not in all_tasks()
    asyncio.tasks._register_task(task)
    assert task in all_tasks()
    await ended(task)
    asyncio.tasks._unregister_task(task)
    assert task not in scheduled


def test_other_threads_may_ask_while_tasks_come_and_go(loop: Loop) -> None:
    seen: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            tasks = all_tasks(loop)
            assert not any(task.get_loop() is not loop for task in tasks)
            seen.append(len(tasks))

    async def come_and_go() -> None:
        while len(seen) < 100:
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        loop.run_until_complete(come_and_go())
    finally:
        stop.set()
        thread.join()
    assert max(seen) <= 101
    assert all_tasks(loop) == set()
