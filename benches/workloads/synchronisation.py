"""Queues, locks and events: tasks that wait for each other.

What is ``own`` uses the contestant's own class of the name, if its module has one, or asyncio's.
"""

from __future__ import annotations

import asyncio
import sys
from time import process_time as clock
from typing import Any

from benches.workload import InProcess, check


def provided(name: str, own: bool) -> Any:
    """Return what asyncio calls ``name``; with ``own`` that of the running loop's module."""
    loop = asyncio.get_running_loop()
    module = sys.modules[type(loop).__module__.partition(".")[0]] if own else asyncio
    return getattr(module, name, getattr(asyncio, name))


async def queue_ping_pong(count: int, own: bool = False) -> float:
    """Two tasks with a queue in each direction; one operation is a round trip."""
    there: asyncio.Queue[int] = provided("Queue", own)()
    back: asyncio.Queue[int] = provided("Queue", own)()

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


async def lock(count: int, tasks: int, own: bool = False) -> float:
    """Tasks share a lock, each for one turn of the loop at a time; one operation is a turn."""
    shared: asyncio.Lock = provided("Lock", own)()
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


async def event(count: int, tasks: int, own: bool = False) -> float:
    """An event wakes all tasks that wait for it, again and again; one operation is a wake-up."""
    rounds = count // tasks
    made: type[asyncio.Event] = provided("Event", own)
    events = [made() for _ in range(rounds)]
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


WORKLOADS = tuple(
    InProcess(
        name=prefix + name,
        group="scheduling",
        title=title + suffix,
        body=body,
        count=count,
        arguments={**arguments, "own": own},
    )
    for prefix, suffix, own in (("", "", False), ("own-", ", own class", True))
    for name, title, body, count, arguments in (
        ("queue", "Queue ping-pong", queue_ping_pong, 15_000, {}),
        ("lock", "Lock, 1,000 tasks", lock, 20_000, {"tasks": 1000}),
        ("event", "Event, 1,000 tasks", event, 40_000, {"tasks": 1000}),
    )
)
