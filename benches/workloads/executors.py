"""Blocking calls in threads: one after the other, many at once, files.

Where a pool is named, `run_in_executor` is given one: the contestant's own, if its module has one,
or the standard library's. What one call costs one after the other is mostly what it costs to wake
two threads; on a loop that spins, they look instead.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import tempfile
from pathlib import Path
from time import perf_counter as clock
from typing import Any

from benches.workload import InProcess, check


def noop() -> None:
    """Return at once."""


async def to_thread_in_turn(count: int) -> float:
    """Call ``await to_thread(noop)``, again and again."""
    begin = clock()
    for _ in range(count):
        await asyncio.to_thread(noop)
    return clock() - begin


async def to_thread_gathered(count: int) -> float:
    """All calls are made at once."""
    begin = clock()
    results = await asyncio.gather(*(asyncio.to_thread(abs, -number) for number in range(count)))
    took = clock() - begin
    check(results == list(range(count)), "results were lost or came out of order")
    return took


async def own_pool_in_turn(count: int) -> float:
    """``run_in_executor``, given a pool of the contestant's."""
    loop: Any = asyncio.get_running_loop()
    module = sys.modules[type(loop).__module__.partition(".")[0]]
    pool: Any = getattr(module, "ThreadPoolExecutor", concurrent.futures.ThreadPoolExecutor)
    spin = {"spin": loop.spin} if getattr(loop, "spin", 0) else {}
    return await in_turn(pool(**spin), count)


async def stdlib_pool_in_turn(count: int) -> float:
    """``run_in_executor``, given a pool of the standard library's."""
    return await in_turn(concurrent.futures.ThreadPoolExecutor(), count)


async def in_turn(executor: concurrent.futures.Executor, count: int) -> float:
    """Await one call after the other."""
    loop = asyncio.get_running_loop()
    with executor:
        begin = clock()
        for _ in range(count):
            await loop.run_in_executor(executor, noop)
        return clock() - begin


async def files(count: int, size: int) -> float:
    """Read so many files at once, each by a call."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(count)]
        for path in paths:
            path.write_bytes(bytes(size))

        def read(path: Path) -> int:
            with path.open("rb", buffering=0) as file:
                return len(file.read())

        begin = clock()
        sizes = await asyncio.gather(*(asyncio.to_thread(read, path) for path in paths))
        took = clock() - begin
    check(sizes == [size] * count, "files were not read whole")
    return took


WORKLOADS = (
    InProcess(
        name="to-thread",
        group="executors",
        title="to_thread, one by one",
        body=to_thread_in_turn,
        count=3_000,
        threads=True,
    ),
    InProcess(
        name="to-thread-gathered",
        group="executors",
        title="to_thread, 20,000 at once",
        body=to_thread_gathered,
        count=20_000,
        threads=True,
    ),
    InProcess(
        name="own-thread-pool",
        group="executors",
        title="run_in_executor, own pool",
        body=own_pool_in_turn,
        count=3_000,
        threads=True,
    ),
    InProcess(
        name="stdlib-thread-pool",
        group="executors",
        title="run_in_executor, stdlib's pool",
        body=stdlib_pool_in_turn,
        count=3_000,
        threads=True,
    ),
    InProcess(
        name="to-thread-files",
        group="executors",
        title="2,000 files of 16 KiB by to_thread",
        body=files,
        count=2_000,
        arguments={"size": 16 << 10},
        threads=True,
    ),
)
