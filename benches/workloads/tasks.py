"""Tasks and futures: yielding, creating, gathering, waking up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import process_time as clock
from typing import Any

from benches.workload import InProcess, check
from benches.workloads.synchronisation import provided


async def sleep(count: int, tasks: int, microseconds: int = 0, own: bool = False) -> float:
    """``sleep``, ``count`` times in all, shared out among tasks; of no time: they take turns."""
    each = count // tasks
    finished = 0
    sleep: Callable[[float], Awaitable[None]] = provided("sleep", own)
    delay = microseconds / 1e6 if microseconds else 0

    async def sleeper() -> None:
        nonlocal finished
        for _ in range(each):
            await sleep(delay)
        finished += 1

    running = [asyncio.create_task(sleeper()) for _ in range(tasks)]
    begin = clock()
    for task in running:
        await task
    took = clock() - begin
    check(finished == tasks, f"{finished} of {tasks} tasks finished")
    return took


async def create_and_await(count: int) -> float:
    """Create a task that returns at once, and await it."""

    async def number_of(number: int) -> int:
        return number

    total = 0
    begin = clock()
    for number in range(count):
        total += await asyncio.create_task(number_of(number))
    took = clock() - begin
    check(total == count * (count - 1) // 2, "a task's result is wrong")
    return took


async def gather(count: int, own: bool = False) -> float:
    """Gather coroutines, all at once."""
    gather: Callable[..., Awaitable[list[int]]] = provided("gather", own)

    async def number_of(number: int) -> int:
        return number

    begin = clock()
    results = await gather(*(number_of(number) for number in range(count)))
    took = clock() - begin
    check(results == list(range(count)), "gather's results are wrong")
    return took


async def future_wake_up(count: int) -> float:
    """Two tasks wake each other: each sets the future that the other awaits."""
    loop = asyncio.get_running_loop()
    received = 0

    async def partner(mine: asyncio.Future[Any]) -> None:
        while True:
            theirs = await mine
            mine = loop.create_future()
            theirs.set_result(mine)

    target: asyncio.Future[Any] = loop.create_future()
    task = asyncio.create_task(partner(target))
    await asyncio.sleep(0)
    begin = clock()
    for _ in range(count // 2):
        awaited = loop.create_future()
        target.set_result(awaited)
        target = await awaited
        received += 1
    took = clock() - begin
    check(received == count // 2 and not task.done(), "a wake-up was lost")
    task.cancel()
    return took


async def timeout(count: int, own: bool = False) -> float:
    """A turn of the loop under ``asyncio.timeout``, or the own one, which never expires."""
    timeout: Callable[[float], asyncio.Timeout] = provided("timeout", own)
    passed = 0
    begin = clock()
    for _ in range(count):
        async with timeout(60) as limit:
            await asyncio.sleep(0)
        passed += not limit.expired()
    took = clock() - begin
    check(passed == count, "a timeout expired")
    return took


WHOSE_SLEEP = (("", "", False), ("own-", ", own function", True))
"""A prefix of the name, the end of the title, and whether it is `rondel.sleep`."""

WORKLOADS = (
    *(
        InProcess(
            name=f"{prefix}sleep0-{tasks}",
            group="scheduling",
            title=f"sleep(0), {tasks:,} task{'s' * (tasks > 1)}{suffix}",
            body=sleep,
            count=max(40_000, 4 * tasks),
            arguments={"tasks": tasks, "own": own},
        )
        for prefix, suffix, own in WHOSE_SLEEP
        for tasks in (1, 100, 10_000)
    ),
    *(
        InProcess(
            name=f"{prefix}sleep-short",
            group="scheduling",
            title=f"sleep of 1 µs, 1,000 tasks{suffix}",
            body=sleep,
            count=20_000,
            arguments={"tasks": 1000, "microseconds": 1, "own": own},
        )
        for prefix, suffix, own in WHOSE_SLEEP
    ),
    InProcess(
        name="create-await",
        group="scheduling",
        title="create a task and await it",
        body=create_and_await,
        count=20_000,
    ),
    InProcess(
        name="gather",
        group="scheduling",
        title="gather of 60,000",
        body=gather,
        count=60_000,
    ),
    InProcess(
        name="own-gather",
        group="scheduling",
        title="gather of 60,000, own function",
        body=gather,
        count=60_000,
        arguments={"own": True},
    ),
    InProcess(
        name="future-wake-up",
        group="scheduling",
        title="future wake-up",
        body=future_wake_up,
        count=40_000,
    ),
    InProcess(
        name="timeout",
        group="scheduling",
        title="asyncio.timeout and sleep(0)",
        body=timeout,
        count=15_000,
    ),
    InProcess(
        name="own-timeout",
        group="scheduling",
        title="timeout and sleep(0), own class",
        body=timeout,
        count=15_000,
        arguments={"own": True},
    ),
)
