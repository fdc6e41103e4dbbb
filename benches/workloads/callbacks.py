"""Callbacks and timers: what everything else on a loop is made of."""

from __future__ import annotations

import asyncio
import random
import time
from time import process_time as clock

from benches.workload import InProcess, check

_AT_ONCE = 1000
"""As many timers are set at once as a busy server has: what they take fits into the cache."""


async def chain(count: int) -> float:
    """Call back ``count`` times, each callback scheduling the next one."""
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon
    done = loop.create_future()
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            call_soon(step)
        else:
            done.set_result(None)

    begin = clock()
    call_soon(step)
    await done
    took = clock() - begin
    check(left == 0, f"{left} callbacks were lost")
    return took


async def timers_fired(count: int) -> float:
    """Set timers in random order and fire them all, a batch after the other."""
    call_later = asyncio.get_running_loop().call_later
    delays = [0.001 + number * 0.004 / _AT_ONCE for number in range(_AT_ONCE)]
    random.Random(count).shuffle(delays)
    took = 0.0
    for _ in range(count // _AT_ONCE):
        fired: list[float] = []
        fire = fired.append
        done = asyncio.get_running_loop().create_future()
        begin = clock()
        for delay in delays:
            call_later(delay, fire, delay)
        call_later(0.006, done.set_result, None)
        # All come due while the loop cannot look.
        time.sleep(0.008)  # noqa: ASYNC251
        await done
        took += clock() - begin
        check(len(fired) == len(delays) and set(fired) == set(delays), "not every timer fired once")
    return took


async def timers_cancelled(count: int) -> float:
    """Set timers and cancel each when the next one is set, as what is kept alive does."""
    call_later = asyncio.get_running_loop().call_later
    fired: list[None] = []

    def fire() -> None:
        fired.append(None)

    handle = call_later(60, fire)
    begin = clock()
    for _ in range(count // _AT_ONCE):
        for _ in range(_AT_ONCE):
            handle.cancel()
            handle = call_later(60, fire)
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
