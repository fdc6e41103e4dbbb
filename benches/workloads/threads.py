"""Calls from another thread, in a flood and in turns."""

from __future__ import annotations

import asyncio
import queue
import threading
from time import perf_counter as clock

from benches.workload import InProcess, check


async def flood(count: int) -> float:
    """A thread calls ``call_soon_threadsafe`` as fast as it can."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    received: list[int] = []

    def send() -> None:
        for number in range(count):
            loop.call_soon_threadsafe(received.append, number)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=send)
    begin = clock()
    thread.start()
    await done
    took = clock() - begin
    thread.join()
    check(received == list(range(count)), "calls were lost or came out of order")
    return took


async def ping_pong(count: int) -> float:
    """A thread calls the loop and waits for its answer; one operation is a round trip."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    received: list[int] = []

    def send() -> None:
        for number in range(count):
            loop.call_soon_threadsafe(answers.put, number)
            received.append(answers.get())
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=send)
    begin = clock()
    thread.start()
    await done
    took = clock() - begin
    thread.join()
    check(received == list(range(count)), "answers were lost or came out of order")
    return took


WORKLOADS = (
    InProcess(
        name="threadsafe-flood",
        group="scheduling",
        title="call_soon_threadsafe, flood",
        body=flood,
        count=40_000,
        threads=True,
    ),
    InProcess(
        name="threadsafe-ping-pong",
        group="scheduling",
        title="call_soon_threadsafe, ping-pong",
        body=ping_pong,
        count=5_000,
        threads=True,
    ),
)
