"""CPU-bound work: counting the lines of large files in other processes.

What to see: the counts, and that other processes did the work. Threads would take turns, since
Python code holds the interpreter lock while it counts; processes use several cores at once, and
the loop stays free. The pool must be named (`run_in_executor`): `asyncio.to_thread` always means
threads.

`count_lines.py [FILE ...]`; without files, the examples' own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import make_data


class Count(NamedTuple):
    """What a worker process sends back."""

    lines: int
    process: int
    cpu_seconds: float


def count_lines(path: Path) -> Count:
    """Count in whatever process this runs in."""
    started = time.process_time()
    with path.open(encoding="utf-8") as file:
        lines = sum(1 for _ in file)
    return Count(lines, os.getpid(), time.process_time() - started)


async def main(paths: list[Path]) -> None:
    """Give every file to a process pool, and await all the counts."""
    loop = asyncio.get_running_loop()
    print(f"This is process {os.getpid()}; it only waits")

    # "spawn" starts clean processes; a forked copy of a running loop and its threads is none.
    clean = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=2, mp_context=clean) as pool:
        work = [loop.run_in_executor(pool, count_lines, path) for path in paths]
        counts = await asyncio.gather(*work)

    for path, count in zip(paths, counts, strict=True):
        print(
            f"{path.name} has {count.lines} lines, counted in process {count.process} "
            f"({count.cpu_seconds:.2f} s of CPU)"
        )


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    asyncio.run(main(given or [make_data.ensure_data() / f"large{i}.txt" for i in (1, 2)]))
