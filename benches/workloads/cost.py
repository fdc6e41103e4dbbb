"""What a program pays before it does anything, and while it waits."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path
from time import process_time as clock

from benches.servers import protocols
from benches.workload import MEMORY, Idle, InProcess, Startup, check


def run_noop(count: int, factory: Callable[[], asyncio.AbstractEventLoop]) -> float:
    """Make a loop, run a coroutine that returns at once, and close it, as ``asyncio.run`` does."""

    async def noop() -> int:
        return 1

    done = 0
    begin = clock()
    for _ in range(count):
        with asyncio.Runner(loop_factory=factory) as runner:
            done += runner.run(noop())
    took = clock() - begin
    check(done == count, "a run returned something else")
    return took


async def sleeping(count: int) -> float:
    """Return the bytes that sleeping tasks take, their timers included."""

    async def sleep() -> None:
        await asyncio.sleep(3600)

    gc.collect()
    before = _resident()
    tasks = [asyncio.create_task(sleep()) for _ in range(count)]
    await asyncio.sleep(0)
    grown = _resident() - before
    check(not any(task.done() for task in tasks), "a task did not sleep")
    return grown


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


WORKLOADS = (
    Startup(
        name="startup",
        group="cost",
        title="a process that runs noop()",
        processes=10,
    ),
    InProcess(
        name="run-noop",
        group="cost",
        title="run(noop()) in a program that runs",
        body=run_noop,
        count=300,
    ),
    InProcess(
        name="sleeping-task",
        group="cost",
        title="a sleeping task",
        body=sleeping,
        count=50_000,
        metrics=(MEMORY,),
        once=True,
    ),
    Idle(
        name="idle-connections",
        group="cost",
        title="a server with 10,000 idle connections",
        server=protocols.tcp,
        connections=10_000,
    ),
)
