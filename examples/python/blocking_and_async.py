"""Blocking and async code in one program: what stops the loop, what does not, and the way back.

What to see: a heartbeat runs on the loop. A blocking call inside a coroutine stops it dead; the
same call in a thread does not. In the other direction, blocking code in a thread hands a coroutine
to the loop and waits for its result. In debug mode (`python -X dev`) the loop names the culprit
of step 1.
"""

from __future__ import annotations

import asyncio

import file_server
import http_get
import make_data


class Heartbeat:
    """Counts how often the loop comes round, as a task."""

    def __init__(self) -> None:
        self.beats = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(0.01)
            self.beats += 1

    def since_last(self) -> str:
        """Report the beats since the last report."""
        beats, self.beats = self.beats, 0
        return f"{beats} heartbeats meanwhile: the loop " + ("went on" if beats else "stood still")


def blocking_function(url: str, loop: asyncio.AbstractEventLoop) -> bytes:
    """Blocking code, in a thread, that wants what a coroutine can do."""
    return asyncio.run_coroutine_threadsafe(http_get.get(url), loop).result()


async def main(url: str) -> None:
    """Download the same file in four ways."""
    loop = asyncio.get_running_loop()
    heart = Heartbeat()
    beating = loop.create_task(heart.run())
    await asyncio.sleep(0)  # the heart begins to beat

    print("1. A blocking call in a coroutine (don't)")
    http_get.get_blocking(url)
    print("  ", heart.since_last())

    print("2. The same call in a thread")
    await asyncio.to_thread(http_get.get_blocking, url)
    print("  ", heart.since_last())

    print("3. A coroutine in place of the call")
    await http_get.get(url)
    print("  ", heart.since_last())

    print("4. A thread that blocks until the loop has run a coroutine for it")
    await asyncio.to_thread(blocking_function, url, loop)
    print("  ", heart.since_last())

    beating.cancel()


if __name__ == "__main__":
    with file_server.serving(make_data.ensure_data(), "--delay=0.4") as server:
        asyncio.run(main(f"{server}/example.txt"))
