"""Calls in two worker processes: one after the other, many at once, large values, CPU-bound ones.

The pool is the contestant's own, if its module has one, or the standard library's. Both spawn their
workers, before the clock starts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter as clock
from typing import Any

from benches.workload import GAIN, InProcess, check

WORKERS = 2


def echo(value: Any) -> Any:
    """Return the argument."""
    return value


def worker() -> int:
    """Say which worker it is, after a while in which the other ones are asked."""
    time.sleep(0.01)
    return os.getpid()


@asynccontextmanager
async def started_pool() -> AsyncIterator[concurrent.futures.Executor]:
    """Yield the contestant's pool, once each of its workers has run a call."""
    loop = asyncio.get_running_loop()
    module = sys.modules[type(loop).__module__.partition(".")[0]]
    kind: Any = getattr(module, "ProcessPoolExecutor", concurrent.futures.ProcessPoolExecutor)
    with kind(WORKERS, multiprocessing.get_context("spawn")) as pool:
        known: set[int] = set()
        while len(known) < WORKERS:
            asked = (loop.run_in_executor(pool, worker) for _ in range(WORKERS))
            known.update(await asyncio.gather(*asked))
        yield pool


async def gathered(count: int) -> float:
    """All calls are made at once."""
    loop = asyncio.get_running_loop()
    async with started_pool() as pool:
        begin = clock()
        calls = (loop.run_in_executor(pool, echo, number) for number in range(count))
        results = await asyncio.gather(*calls)
        took = clock() - begin
    check(results == list(range(count)), "results were lost or came out of order")
    return took


async def in_turn(count: int) -> float:
    """Await one call after the other."""
    loop = asyncio.get_running_loop()
    async with started_pool() as pool:
        begin = clock()
        for number in range(count):
            check(await loop.run_in_executor(pool, echo, number) == number, "a wrong result")
        return clock() - begin


async def large(count: int, size: int) -> float:
    """Send bytes there and back, again and again."""
    loop = asyncio.get_running_loop()
    value = os.urandom(size)
    async with started_pool() as pool:
        begin = clock()
        for _ in range(count):
            result = await loop.run_in_executor(pool, echo, value)
        took = clock() - begin
    check(result == value, "bytes were changed on their way")
    return took


def large_files(folder: str, count: int, lines: int) -> list[Path]:
    """Make files of so many lines of text."""
    paths = [Path(folder, f"large{number}.txt") for number in range(count)]
    for path in paths:
        path.write_text("a line of such a length as lines of text have\n" * lines)
    return paths


def lines_of(path: Path) -> int:
    """Count the lines of a file of text, as a program would."""
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)


async def count_lines(count: int, lines: int, rounds: int) -> float:
    """Count so many files in this process and in two workers; how many times as fast the latter is.

    Of both ways, which take turns, the fastest round counts. It is for each file, as times are.
    """
    loop = asyncio.get_running_loop()
    here, there = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = large_files(folder, count, lines)
        async with started_pool() as pool:
            for _ in range(rounds):
                begin = clock()
                one = [lines_of(path) for path in paths]
                middle = clock()
                calls = (loop.run_in_executor(pool, lines_of, path) for path in paths)
                two = await asyncio.gather(*calls)
                end = clock()
                check(one == two == [lines] * count, "lines were lost")
                here.append(middle - begin)
                there.append(end - middle)
    return count * min(here) / min(there)


WORKLOADS = (
    InProcess(
        name="process-pool-gathered",
        group="executors",
        title="process pool, 2,000 at once",
        body=gathered,
        count=2_000,
        threads=True,
    ),
    InProcess(
        name="process-pool",
        group="executors",
        title="process pool, one by one",
        body=in_turn,
        count=1_000,
        threads=True,
    ),
    InProcess(
        name="process-pool-1mib",
        group="executors",
        title="process pool, 1 MiB there and back",
        body=large,
        count=100,
        arguments={"size": 1 << 20},
        threads=True,
    ),
    InProcess(
        name="count-lines",
        group="executors",
        title="process pool, lines of large files",
        body=count_lines,
        count=4,
        arguments={"lines": 1_000_000, "rounds": 3},
        metrics=(GAIN,),
        threads=True,
        once=True,
    ),
)
