"""Several loops, several threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.loops import Loop, LoopFactory


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Run ``work(number)`` in so many threads at once; what they return."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


async def echo_rounds(number: int, rounds: int = 20) -> int:
    """Talk to an echo server on the running loop."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for step in range(rounds):
        line = b"%d %d\n" % (number, step)
        writer.write(line)
        assert await reader.readline() == line
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.001)
    return number


def test_a_loop_runs_in_a_thread_of_its_own(loop: Loop) -> None:
    def run(_: int) -> object:
        return loop.run_until_complete(echo_rounds(7))

    assert in_threads(1, run) == [7]


def test_loops_run_in_several_threads_at_once(loop_factory: LoopFactory) -> None:
    barrier = threading.Barrier(6)

    def run(number: int) -> object:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            barrier.wait()
            return runner.run(echo_rounds(number))

    assert in_threads(6, run) == list(range(6))


def test_each_thread_has_its_own_running_loop(loop_factory: LoopFactory) -> None:
    barrier = threading.Barrier(4)

    async def who(loop: Loop) -> bool:
        barrier.wait()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0.001)
        return asyncio.get_running_loop() is loop

    def run(_: int) -> object:
        loop = loop_factory()
        try:
            return loop.run_until_complete(who(loop))
        finally:
            loop.close()

    assert in_threads(4, run) == [True] * 4


def test_a_loop_moves_from_thread_to_thread(loop: Loop) -> None:
    ran: list[int] = []
    for number in range(5):
        loop.call_soon(ran.append, number)
        in_threads(1, lambda _: loop.run_until_complete(asyncio.sleep(0.001)))
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == list(range(5))


def test_a_running_loop_cannot_be_run_by_a_second_thread(loop: Loop) -> None:
    async def main() -> None:
        def run() -> str:
            with pytest.raises(RuntimeError) as caught:
                loop.run_forever()
            return str(caught.value)

        assert await loop.run_in_executor(None, run) == "This event loop is already running"

    loop.run_until_complete(main())


def test_a_running_loop_cannot_be_closed_by_a_second_thread(loop: Loop) -> None:
    async def main() -> None:
        def close() -> str:
            with pytest.raises(RuntimeError) as caught:
                loop.close()
            return str(caught.value)

        assert await loop.run_in_executor(None, close) == "Cannot close a running event loop"

    loop.run_until_complete(main())


def test_a_loop_can_be_closed_by_another_thread_than_ran_it(loop: Loop) -> None:
    in_threads(1, lambda _: loop.run_until_complete(asyncio.sleep(0)))
    in_threads(1, lambda _: loop.close())
    assert loop.is_closed()


def test_is_running_can_be_asked_from_anywhere(loop: Loop) -> None:
    asked: list[bool] = []
    begun = threading.Event()

    def ask() -> None:
        begun.wait()
        asked.append(loop.is_running())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=ask)
    thread.start()
    loop.call_soon(begun.set)
    loop.run_forever()
    thread.join()
    assert asked == [True]


def test_two_loops_talk_to_each_other(loop_factory: LoopFactory) -> None:
    """A ball goes to and fro between two threads, each with its loop."""
    loops = [loop_factory(), loop_factory()]
    hits = [0, 0]

    def hit(side: int, left: int) -> None:
        hits[side] += 1
        if left:
            loops[1 - side].call_soon_threadsafe(hit, 1 - side, left - 1)
        else:
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)

    loops[0].call_soon(hit, 0, 999)
    in_threads(2, lambda side: loops[side].run_forever())
    assert hits == [500, 500]
    for loop in loops:
        loop.close()


def test_a_coroutine_awaits_another_loops_work(loop_factory: LoopFactory) -> None:
    ours, theirs = loop_factory(), loop_factory()
    thread = threading.Thread(target=theirs.run_forever)
    thread.start()

    async def work(number: int) -> int:
        assert asyncio.get_running_loop() is theirs
        await asyncio.sleep(0)
        return number * 2

    async def ask(number: int) -> int:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(number), theirs))

    async def main() -> list[int]:
        return await asyncio.gather(*(ask(number) for number in range(50)))

    assert ours.run_until_complete(main()) == [number * 2 for number in range(50)]
    theirs.call_soon_threadsafe(theirs.stop)
    thread.join()
    ours.close()
    theirs.close()


def test_a_loop_runs_within_a_callback_of_a_thread_that_has_none(loop: Loop) -> None:
    """A thread of one loop's executor may run another loop."""

    async def main() -> object:
        def nested() -> object:
            inner = type(loop)()
            try:
                return inner.run_until_complete(asyncio.sleep(0.001, "inner"))
            finally:
                inner.close()

        return await loop.run_in_executor(None, nested)

    assert loop.run_until_complete(main()) == "inner"


def test_the_current_loop_of_a_thread_can_be_set(loop: Loop) -> None:
    asyncio.set_event_loop(loop)
    try:
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)


def test_many_loops_are_made_and_closed(loop_factory: LoopFactory) -> None:
    for _ in range(100):
        loop = loop_factory()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_loops_that_never_ran_can_be_closed(loop_factory: LoopFactory) -> None:
    loops = [loop_factory() for _ in range(20)]
    for loop in loops:
        loop.close()
