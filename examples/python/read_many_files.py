"""Many files at once: `run_in_executor` starts the reads, `asyncio.gather` awaits them all.

What to see: the contents in the order of the questions, whichever thread answered first. The reads
run in the pool that is named here; `asyncio.to_thread` would use the loop's own.

`read_many_files.py [FILE ...]`; without files, the examples' own.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import make_data


def read_file(path: Path) -> str:
    """An ordinary blocking function."""
    return path.read_text(encoding="utf-8")


async def main(paths: list[Path]) -> None:
    """Ask for every file, then wait for all the answers."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(thread_name_prefix="reader") as pool:
        reads = [loop.run_in_executor(pool, read_file, path) for path in paths]
        contents = await asyncio.gather(*reads)

    for path, content in zip(paths, contents, strict=True):
        print(f"Contents of {path.name}: {content}", end="")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    asyncio.run(main(given or [make_data.ensure_data() / f"file{i}.txt" for i in (1, 2, 3)]))
