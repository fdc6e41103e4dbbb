"""What one unit (a task, a thread, a process) costs and how much memory it takes.

All units are alive at once: each is created and waits, memory is read, and each is let go and
finishes. Creating and finishing are timed, what is between them is not.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import threading
import time
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event, Semaphore
from typing import NamedTuple

from rondel.compare import memory
from rondel.compare.contest import Contestant
from rondel.compare.workloads import run

# A single unit is too quick for the clock: so many in turn, for the average.
_REPEATS: dict[Contestant, int] = {
    "rondel": 5000,
    "asyncio": 5000,
    "threads": 500,
    "processes": 20,
}
_POLL = 0.001


class Unit(NamedTuple):
    """Seconds and bytes for one unit; bytes are None if too few to be counted."""

    cost: float
    memory: float | None


class _Sample(NamedTuple):
    seconds: float
    grown: int


def measure(contestant: Contestant, units: int) -> Unit:
    """Measure cost and memory of one of ``units`` units that are alive at once.

    Raises :exc:`rondel.compare.memory.CannotMeasure` if the kernel does not tell memory, and what
    the system raises when it refuses so many units.
    """
    repeats = _REPEATS[contestant] if units == 1 else 1
    if contestant in ("rondel", "asyncio"):
        samples = run(contestant, _tasks(units, repeats))
    else:
        once = _threads if contestant == "threads" else _processes
        once(1)
        samples = [once(units, count=turn == 0) for turn in range(repeats)]
    cost = sum(sample.seconds for sample in samples) / repeats / units
    # Only the first turn finds fresh memory: the following ones reuse it.
    grown = samples[0].grown
    return Unit(cost, grown / units if grown >= memory.RESOLUTION else None)


async def _tasks(units: int, repeats: int) -> list[_Sample]:
    await _tasks_once(1)
    return [await _tasks_once(units, count=turn == 0) for turn in range(repeats)]


async def _tasks_once(units: int, *, count: bool = True) -> _Sample:
    event = asyncio.Event()

    async def unit() -> None:
        await event.wait()

    before = _resident(count)
    start = time.perf_counter()
    tasks = [asyncio.create_task(unit()) for _ in range(units)]
    await asyncio.sleep(0)
    created = time.perf_counter() - start
    grown = _resident(count) - before
    start = time.perf_counter()
    event.set()
    await asyncio.gather(*tasks)
    return _Sample(created + time.perf_counter() - start, grown)


def _threads(units: int, *, count: bool = True) -> _Sample:
    # Who gets through passes the gate on: an Event would wake all threads at one blow, and what
    # they then cost each other is not what a thread costs.
    gate = threading.Lock()
    waiting: list[None] = []

    def unit() -> None:
        waiting.append(None)
        gate.acquire()
        gate.release()

    before = _resident(count)
    threads: list[threading.Thread] = []
    gate.acquire()
    try:
        start = time.perf_counter()
        for _ in range(units):
            thread = threading.Thread(target=unit)
            thread.start()
            threads.append(thread)
        created = time.perf_counter() - start
        while len(waiting) < units:
            time.sleep(_POLL)
        grown = _resident(count) - before
    finally:
        start = time.perf_counter()
        gate.release()
        for thread in threads:
            thread.join()
    return _Sample(created + time.perf_counter() - start, grown)


def _resident(count: bool) -> int:
    # Reading it takes longer than a task does, and disturbs what runs next: only where it counts.
    if not count:
        return 0
    gc.collect()
    return memory.resident()


def _processes(units: int, *, count: bool = True) -> _Sample:
    event = multiprocessing.Event()
    waiting = multiprocessing.Semaphore(0)
    before = memory.proportional([]) if count else 0
    processes: list[BaseProcess] = []
    try:
        start = time.perf_counter()
        for _ in range(units):
            processes.append(multiprocessing.Process(target=_process, args=(waiting, event)))
            processes[-1].start()
        for _ in range(units):
            waiting.acquire()
        created = time.perf_counter() - start
        children = [process.pid or 0 for process in processes]
        grown = memory.proportional(children) - before if count else 0
    finally:
        start = time.perf_counter()
        event.set()
        for process in processes:
            if process.pid is not None:
                process.join()
    seconds = created + time.perf_counter() - start
    for process in processes:
        process.close()
    return _Sample(seconds, grown)


def _process(waiting: Semaphore, event: Event) -> None:
    waiting.release()
    event.wait()
