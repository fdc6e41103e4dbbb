"""Reading a file off the loop: `asyncio.to_thread` runs a blocking function in a thread.

What to see: the file's contents. A disk can be slow, and a file is always "ready" to the kernel, so
a loop cannot wait for it as it waits for a socket: the read goes to a thread, and the coroutine
awaits its result.

`read_file.py [FILE]`; without a file, the examples' own.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import make_data


def read_file(path: Path) -> str:
    """An ordinary blocking function: it knows nothing of the loop."""
    return path.read_text(encoding="utf-8")


async def main(path: Path) -> None:
    """Await the blocking function as if it were a coroutine."""
    print("Reading file asynchronously...")
    content = await asyncio.to_thread(read_file, path)
    print(f"File contents: {content}", end="")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    asyncio.run(main(given[0] if given else make_data.ensure_data() / "example.txt"))
