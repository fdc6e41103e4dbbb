"""The work itself, as each contestant does it: what one child process runs and times.

Every function does ``units`` units of work and is timed from its call to its return, the making and
closing of loops and pools included. Each contestant's code is what its documentation shows.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import cycle, islice
from multiprocessing.synchronize import Semaphore
from typing import Any, TypeVar

from rondel.compare.contest import Contestant
from rondel.compare.limits import cpus
from rondel.compare.server import ANSWER, HOST, REQUEST

T = TypeVar("T")

POOL = 100
"""The most workers that a pool for blocking calls has."""

STEPS = 1000
"""Rounds of the loop that is one unit of CPU-bound work."""


def _pool(contestant: Contestant, workers: int) -> Executor:
    """Return a pool of the contestant's own kind; of tasks, that is one of threads."""
    if contestant in ("asyncio", "threads"):
        return ThreadPoolExecutor(workers)
    if contestant == "processes":
        return ProcessPoolExecutor(workers)
    # What the standard library's contestants need not import.
    import rondel

    if contestant == "rondel-processes":
        return rondel.ProcessPoolExecutor(workers)
    return rondel.ThreadPoolExecutor(workers)


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
    elif work == "blocking":
        _ask_blocking_all(contestant, targets)
    elif contestant in ("rondel", "asyncio"):
        run(contestant, _ask_all(targets))
    else:
        _ask_all_at_once(contestant, targets)
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


def _ask_and_close(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(REQUEST)
        _check(connection.recv(len(ANSWER)))


def _ask_all_at_once(contestant: Contestant, targets: list[int]) -> None:
    # No pool: it would give work to whoever has finished, and so have fewer at once.
    answered = multiprocessing.Semaphore(0) if contestant == "processes" else threading.Semaphore(0)
    kind = multiprocessing.Process if contestant == "processes" else threading.Thread
    started: list[multiprocessing.Process | threading.Thread] = []
    try:
        for port in targets:
            started.append(kind(target=_ask_and_tell, args=(port, answered)))
            started[-1].start()
    finally:
        for unit in started:
            if unit.ident is not None:
                unit.join()
    if sum(answered.acquire(False) for _ in targets) < len(targets):
        raise ConnectionError("not every request was answered")


def _ask_and_tell(port: int, answered: Semaphore | threading.Semaphore) -> None:
    _ask_and_close(port)
    answered.release()


class _Connections(threading.local):
    """A connection for every worker of a pool, as clients of databases keep one."""

    connection: socket.socket | None = None


_connections = _Connections()
_opened: list[socket.socket] = []


def _ask_blocking(port: int) -> None:
    if _connections.connection is None:
        _connections.connection = socket.create_connection((HOST, port))
        _opened.append(_connections.connection)
    _connections.connection.sendall(REQUEST)
    _check(_connections.connection.recv(len(ANSWER)))


async def _ask_in_threads(contestant: Contestant, targets: list[int]) -> None:
    pool = _pool(contestant, min(len(targets), POOL))
    assert isinstance(pool, ThreadPoolExecutor)
    asyncio.get_running_loop().set_default_executor(pool)
    await asyncio.gather(*(asyncio.to_thread(_ask_blocking, port) for port in targets))


def _ask_blocking_all(contestant: Contestant, targets: list[int]) -> None:
    if contestant in ("rondel", "asyncio"):
        run(contestant, _ask_in_threads(contestant, targets))
    else:
        with _pool(contestant, min(len(targets), POOL)) as pool:
            for _ in pool.map(_ask_blocking, targets):
                pass
    for connection in _opened:
        connection.close()


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
        return
    # Of threads, a chunk is a unit whatever is said.
    chunk = max(1, units // (4 * cpus()))
    with _pool(contestant, cpus()) as pool:
        for _ in pool.map(_spin, range(units), chunksize=chunk):
            pass
