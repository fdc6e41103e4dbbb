"""The same with asyncio: a coroutine, a task and an event loop; one thread does it all.

What to see: the task is only scheduled at first, so "Doing other work" comes before "Downloading".
From the first `await` on, the loop runs both: whoever has to wait lets the other go on.
"""

from __future__ import annotations

import asyncio

import file_server
import http_get
import make_data


async def download_file(url: str) -> None:
    """Download `url`; every `await` lets the loop run others."""
    print("Downloading file...")
    body = await http_get.get(url)
    print(f"Download complete! {len(body)} bytes")


async def main(url: str) -> None:
    """Start the download, and work until it is done."""
    print("Starting program")
    task = asyncio.create_task(download_file(url))

    print("Doing other work while downloading...")
    pieces = 0
    while not task.done():
        pieces += 1
        await asyncio.sleep(0.1)  # a piece of work

    await task  # its result, or its exception
    print(f"Program finished, with {pieces} pieces of other work done")


if __name__ == "__main__":
    with file_server.serving(make_data.ensure_data(), "--delay=1") as server:
        asyncio.run(main(f"{server}/example.txt"))
