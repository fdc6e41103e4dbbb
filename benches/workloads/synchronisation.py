"""Queues, locks and events: tasks that wait for each other."""

from __future__ import annotations

import asyncio
from time import process_time as clock

from benches.workload import InProcess, check


async def queue_ping_pong(count: int) -> float:
    """Two tasks with a queue in each direction; one operation is a round trip."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def partner() -> None:
        while True:
            await back.put(await there.get() + 1)

    task = asyncio.create_task(partner())
    number = 0
    begin = clock()
    for _ in range(count):
        await there.put(number)
        number = await back.get()
    took = clock() - begin
    check(number == count, f"{number} of {count} items came back")
    task.cancel()
    return took


async def lock(count: int, tasks: int) -> float:
    """Tasks share a lock, each for one turn of the loop at a time; one operation is a turn."""
    shared = asyncio.Lock()
    inside = 0
    turns = 0

    async def contender() -> None:
        nonlocal inside, turns
        for _ in range(count // tasks):
            async with shared:
                inside += 1
                check(inside == 1, "two tasks hold the lock")
                await asyncio.sleep(0)
                inside -= 1
                turns += 1

    running = [asyncio.create_task(contender()) for _ in range(tasks)]
    begin = clock()
    for task in running:
        await task
    took = clock() - begin
    check(turns == count // tasks * tasks, "a turn was lost")
    return took


async def event(count: int, tasks: int) -> float:
    """An event wakes all tasks that wait for it, again and again; one operation is a wake-up."""
    rounds = count // tasks
    events = [asyncio.Event() for _ in range(rounds)]
    woken = 0

    async def waiter() -> None:
        nonlocal woken
        for event in events:
            await event.wait()
            woken += 1

    running = [asyncio.create_task(waiter()) for _ in range(tasks)]
    await asyncio.sleep(0)
    begin = clock()
    for event in events:
        event.set()
        await asyncio.sleep(0)
    for task in running:
        await task
    took = clock() - begin
    check(woken == rounds * tasks, "a wake-up was lost")
    return took


WORKLOADS = (
    InProcess(
        name="queue",
        group="scheduling",
        title="Queue ping-pong",
        body=queue_ping_pong,
        count=15_000,
    ),
    InProcess(
        name="lock",
        group="scheduling",
        title="Lock, 1,000 tasks",
        body=lock,
        count=20_000,
        arguments={"tasks": 1000},
    ),
    InProcess(
        name="event",
        group="scheduling",
        title="Event, 1,000 tasks",
        body=event,
        count=40_000,
        arguments={"tasks": 1000},
    ),
)
