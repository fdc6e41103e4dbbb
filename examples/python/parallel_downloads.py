"""Several downloads in parallel: one thread, many sockets, and the waits overlap.

What to see: the server takes 0.3 s for each answer. One after another the waits add up; together
they take as long as the slowest. The server counts how many requests it had open at once.
"""

from __future__ import annotations

import asyncio
import json
import time

import file_server
import http_get
import make_data


async def one_after_another(urls: list[str]) -> list[bytes]:
    """Each download begins when the one before is over."""
    return [await http_get.get(url) for url in urls]


async def together(urls: list[str]) -> list[bytes]:
    """All downloads begin at once; the results come in the order of `urls`."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(http_get.get(url)) for url in urls]
    return [task.result() for task in tasks]


async def most_at_once(server: str) -> int:
    """Ask the server how many downloads it had open at the same time."""
    return int(json.loads(await http_get.get(server + file_server.STATS))["most_at_once"])


async def main(server: str) -> None:
    """Do the same downloads both ways."""
    urls = [f"{server}/{name}" for name in make_data.SMALL]
    results = []
    for way in (one_after_another, together):
        started = time.perf_counter()
        bodies = await way(urls)
        took = time.perf_counter() - started
        results.append(bodies)
        print(
            f"{way.__name__.replace('_', ' ')}: {len(bodies)} downloads in {took:.1f} s, "
            f"{await most_at_once(server)} at once"
        )

    print("same contents both ways:", results[0] == results[1])
    for url, body in zip(urls, results[1], strict=True):
        print(f"  {url.rpartition('/')[2]}: {len(body)} bytes")


if __name__ == "__main__":
    with file_server.serving(make_data.ensure_data(), "--delay=0.3") as address:
        asyncio.run(main(address))
