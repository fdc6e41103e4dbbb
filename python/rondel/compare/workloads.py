"""The work itself, as each contestant does it: what one child process runs and times.

Every function does ``units`` units of work and is timed from its call to its return, the making and
closing of loops and pools included. Each contestant's code is what its documentation shows.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any, TypeVar

from rondel.compare.contest import Contestant
from rondel.compare.limits import cpus
from rondel.compare.server import ANSWER, HOST, REQUEST

T = TypeVar("T")

POOL = 100
"""The most workers that a pool for blocking calls has."""

STEPS = 1000
"""Rounds of the loop that is one unit of CPU-bound work."""


def loop_factory(contestant: Contestant) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the loop of an asyncio contestant."""
    if contestant == "asyncio":
        return asyncio.SelectorEventLoop
    from rondel import new_event_loop

    return new_event_loop


def run(contestant: Contestant, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop of an asyncio contestant."""
    with asyncio.Runner(loop_factory=loop_factory(contestant)) as runner:
        return runner.run(main)


def measure(work: str, contestant: Contestant, units: int, ports: list[int]) -> float:
    """Return the seconds that a contestant takes for one kind of work."""
    targets = list(islice(cycle(ports), units))
    start = time.perf_counter()
    if work == "cpu":
        _compute(contestant, units)
    elif contestant in ("rondel", "asyncio"):
        run(contestant, _ask_all(targets) if work == "io" else _ask_all_in_threads(targets))
    else:
        _ask_all_in_pool(contestant, targets, units if work == "io" else min(units, POOL))
    return time.perf_counter() - start


async def _ask(port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(REQUEST)
        _check(await reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask_all(targets: list[int]) -> None:
    await asyncio.gather(*(_ask(port) for port in targets))


def _ask_blocking(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(REQUEST)
        _check(connection.recv(len(ANSWER)))


async def _ask_all_in_threads(targets: list[int]) -> None:
    pool = ThreadPoolExecutor(min(len(targets), POOL))
    asyncio.get_running_loop().set_default_executor(pool)
    await asyncio.gather(*(asyncio.to_thread(_ask_blocking, port) for port in targets))


def _ask_all_in_pool(contestant: Contestant, targets: list[int], workers: int) -> None:
    kind = ThreadPoolExecutor if contestant == "threads" else ProcessPoolExecutor
    with kind(workers) as pool:
        for _ in pool.map(_ask_blocking, targets):
            pass


def _check(answer: bytes) -> None:
    if answer != ANSWER:
        raise ConnectionError(f"the server answered {answer!r}")


def _spin(_: int) -> int:
    total = 0
    for number in range(STEPS):
        total += number * number % 7
    return total


async def _spin_in_task(unit: int) -> int:
    return _spin(unit)


async def _spin_all(units: int) -> None:
    await asyncio.gather(*(_spin_in_task(unit) for unit in range(units)))


def _compute(contestant: Contestant, units: int) -> None:
    if contestant in ("rondel", "asyncio"):
        run(contestant, _spin_all(units))
    elif contestant == "threads":
        with ThreadPoolExecutor(cpus()) as threads:
            for _ in threads.map(_spin, range(units)):
                pass
    else:
        chunk = max(1, units // (4 * cpus()))
        with ProcessPoolExecutor(cpus()) as processes:
            for _ in processes.map(_spin, range(units), chunksize=chunk):
                pass
