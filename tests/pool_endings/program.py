"""A program that ends pools: ``python -m pool_endings.program POOL DRIVER ENDING STATE ...``.

For each state it prints the seconds from the beginning of the end until nothing was left, and what
was left if something stayed. Where the end is that of the interpreter, of which there is one only,
it prints the time at which that begins.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

PATIENCE = 20.0
"""Seconds after which what is left is taken to stay."""
NOTHING = "nothing"
CALLS = 20
"""How many calls a pool has that is full, with two workers; each takes `CALL` seconds."""
CALL = 0.02


def new(kind: str) -> Executor:
    """Make a pool of two workers."""
    import rondel

    return rondel.ThreadPoolExecutor(2) if kind == "threads" else rondel.ProcessPoolExecutor(2)


def held() -> dict[str, int]:
    """Return how many threads, children, descriptors and mapped arenas this process has."""
    task = f"/proc/self/task/{os.getpid()}/children"
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "children": len(Path(task).read_text().split()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "shared memory": Path("/proc/self/maps").read_text().count("rondel-arena"),
    }


def more(before: dict[str, int]) -> dict[str, int]:
    """Return what there is that was not there before."""
    return {name: count for name, count in held().items() if count > before[name]}


def bring(pool: Executor, state: str, submit: Callable[..., Any]) -> list[Any]:
    """Begin to bring a pool into a state; return what must be awaited for that."""
    if state == "full":
        calls = [submit(time.sleep, CALL) for _ in range(CALLS)]
        return calls[:1]
    if state == "starting":
        submit(int)
        return []
    return [submit(time.sleep, CALL) for _ in range(2)] if state == "idle" else []


def end(pool: list[Executor], ending: str, before: dict[str, int]) -> None:
    """End the only reference to a pool, and tell what was left."""
    began = time.monotonic()
    if not ending.startswith("fork"):
        if ending == "shutdown":
            pool[0].shutdown(cancel_futures=True)
        del pool[:]
        gc.collect()
        report(began, before)
        return
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        if ending == "fork and shutdown":
            end(pool, "shutdown", {**before, "threads": 1, "children": 0})
            sys.stdout.flush()
            os._exit(0)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    if ending == "fork and exit":
        print(f"{time.monotonic() - began:.3f} {NOTHING}")
    pool.pop().shutdown(cancel_futures=True)


def report(began: float, before: dict[str, int]) -> None:
    """Wait until nothing is left, and tell how long that took."""
    while (left := more(before)) and time.monotonic() - began < PATIENCE:
        time.sleep(0.001)
    print(f"{time.monotonic() - began:.3f} {describe(left)}")


def describe(left: dict[str, int]) -> str:
    """Return it in words."""
    return ", ".join(f"{count} {name}" for name, count in left.items()) or NOTHING


def at_exit(pool: list[Executor]) -> None:
    """Keep the pool until the interpreter ends, which it does now."""
    globals()["kept"] = pool
    print(time.monotonic(), flush=True)


def in_thread(kind: str, state: str, ending: str) -> None:
    """Use a pool from a plain thread."""
    import rondel

    rondel.new_event_loop().close()  # what a process makes once and keeps
    before = held()
    pool = [new(kind)]
    for call in bring(pool[0], state, pool[0].submit):
        call.result()
    if ending == "exit":
        at_exit(pool)
    else:
        end(pool, ending, before)


def in_loop(kind: str, state: str, ending: str) -> None:
    """Use a pool from a loop, which is what ends it, too."""
    import rondel

    after: list[Executor] = []

    async def main() -> None:
        nonlocal after
        loop = asyncio.get_running_loop()
        before = held()
        pool = [new(kind)]

        def submit(function: Callable[..., Any], *arguments: Any) -> Any:
            call = loop.run_in_executor(pool[0], function, *arguments)
            call.add_done_callback(lambda done: done.cancelled() or done.exception())
            return call

        calls = bring(pool[0], state, submit)
        if calls:
            await asyncio.wait(calls)
        del calls
        if ending == "exit":
            at_exit(pool)
        elif ending == "fork and exit":
            # From Python 3.14 on no child can leave a task of its parent's, not asyncio's either.
            after = [*pool]
        elif ending == "collected":
            began = time.monotonic()
            del pool[:]
            gc.collect()
            while more(before) and time.monotonic() - began < PATIENCE:
                await asyncio.sleep(0.001)  # the loop is who drives it
            report(began, before)
        else:
            end(pool, ending, before)

    rondel.run(main())
    if after:
        end(after, ending, {})


if __name__ == "__main__":
    kind, driver, ending, *states = sys.argv[1:]
    for state in states:
        {"thread": in_thread, "loop": in_loop}[driver](kind, state, ending)
