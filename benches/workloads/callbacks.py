"""Callbacks and timers: what everything else on a loop is made of."""

from __future__ import annotations

import asyncio
import random
import time
from time import process_time as clock

from benches.workload import InProcess, check


async def chain(count: int) -> float:
    """Call back ``count`` times, each callback scheduling the next one."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            done.set_result(None)

    begin = clock()
    loop.call_soon(step)
    await done
    took = clock() - begin
    check(left == 0, f"{left} callbacks were lost")
    return took


async def timers_fired(count: int) -> float:
    """Set timers in random order and fire them all."""
    loop = asyncio.get_running_loop()
    delays = [0.001 + number * 0.004 / count for number in range(count)]
    random.Random(count).shuffle(delays)
    fired: list[float] = []
    done = loop.create_future()
    begin = clock()
    for delay in delays:
        loop.call_later(delay, fired.append, delay)
    loop.call_later(0.006, done.set_result, None)
    # All come due while the loop cannot look.
    time.sleep(0.010)  # noqa: ASYNC251
    await done
    took = clock() - begin
    check(len(fired) == count and set(fired) == set(delays), "not every timer fired once")
    return took


async def timers_cancelled(count: int) -> float:
    """Set timers and cancel each at once, as a timeout that was not needed does."""
    loop = asyncio.get_running_loop()
    fired: list[int] = []
    handle = loop.call_later(60, fired.append, -1)
    begin = clock()
    for number in range(count):
        handle.cancel()
        handle = loop.call_later(60, fired.append, number)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    handle.cancel()
    await asyncio.sleep(0)
    took = clock() - begin
    check(not fired and handle.cancelled(), "a cancelled timer fired")
    return took


WORKLOADS = (
    InProcess(
        name="call-soon",
        group="scheduling",
        title="call_soon chain",
        body=chain,
        count=50_000,
    ),
    InProcess(
        name="timers-fired",
        group="scheduling",
        title="timers set and fired",
        body=timers_fired,
        count=20_000,
    ),
    InProcess(
        name="timers-cancelled",
        group="scheduling",
        title="timers set and cancelled",
        body=timers_cancelled,
        count=40_000,
    ),
)
