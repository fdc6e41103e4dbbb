"""Exchanges within the machine: processes, pipes, threads, timers, tasks, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import PIPE
from io import FileIO
from typing import Any

import rondel

from soak.house import House
from soak.network import turns


async def processes(house: House) -> None:
    """A child that answers, one with an exit code, one that is killed, one given up early."""
    kind = house.random.randrange(4)
    if kind == 0:
        data = house.random.randbytes(10_000)
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        out, _ = await process.communicate(data)
        assert (out, process.returncode) == (data, 0)
    elif kind == 1:
        process = await asyncio.create_subprocess_shell("exit 7")
        assert await process.wait() == 7
    elif kind == 2:
        process = await asyncio.create_subprocess_exec("sleep", "1000", stdin=PIPE)
        process.kill()
        await process.communicate(b"")
        assert process.returncode == -signal.SIGKILL
    else:
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        await turns(house)
        starting.cancel()
        try:
            process = await starting
        except asyncio.CancelledError:
            return
        await process.communicate(b"")


async def pipes(house: House) -> None:
    """A payload through a pipe, larger than what the pipe holds."""
    loop = asyncio.get_running_loop()
    data = house.random.randbytes(200_000)
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), FileIO(read_end, "rb")
    )
    sink, _ = await loop.connect_write_pipe(asyncio.Protocol, FileIO(write_end, "wb"))
    sink.write(data)
    sink.close()
    assert await reader.read() == data, "bytes lost in a pipe"
    source.close()


async def timers(house: House) -> None:
    """Timers in order, among many that are cancelled."""
    loop = asyncio.get_running_loop()
    fired: list[int] = []
    base = loop.time() + 0.001
    order = list(range(50))
    house.random.shuffle(order)
    handles = {rank: loop.call_at(base + rank * 1e-5, fired.append, rank) for rank in order}
    for rank in range(0, 50, 2):
        handles[rank].cancel()
    for _ in range(50):
        loop.call_later(3600, print).cancel()
    last = loop.create_future()
    loop.call_at(base + 50e-5, last.set_result, None)
    await last
    assert fired == list(range(1, 50, 2)), "timers out of order"


async def timeouts(house: House) -> None:
    """Waiting for what does not come, or comes in time."""
    loop = asyncio.get_running_loop()
    never: asyncio.Future[None] = loop.create_future()
    try:
        await asyncio.wait_for(never, 0.001)
    except TimeoutError:
        assert never.cancelled()
    async with asyncio.timeout(60):
        await turns(house)


async def threads(house: House) -> None:
    """Calls from other threads, and results from them."""
    loop = asyncio.get_running_loop()
    number = house.random.randrange(1000)
    seen: list[int] = []
    everything = loop.create_future()

    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return 2 * value

    def see(value: int) -> None:
        seen.append(value)
        if value == 99:
            everything.set_result(None)

    def work() -> int:
        for value in range(100):
            loop.call_soon_threadsafe(see, value)
        return asyncio.run_coroutine_threadsafe(double(number), loop).result(30)

    assert await loop.run_in_executor(None, work) == 2 * number
    await everything
    assert seen == list(range(100)), "calls from a thread out of order"
    assert await asyncio.to_thread(sum, range(number)) == number * (number - 1) // 2


async def thread_pool(house: House) -> None:
    """Calls in threads, by both ways, some of which are cancelled."""
    loop = asyncio.get_running_loop()
    calls = [loop.run_in_executor(house.threads, abs, -number) for number in range(50)]
    submitted = house.threads.submit(divmod, 7, 2)
    given_up = house.random.randrange(50)
    calls[given_up].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    del calls
    assert isinstance(results.pop(given_up), asyncio.CancelledError)
    assert results == [number for number in range(50) if number != given_up], "results lost"
    assert await asyncio.wrap_future(submitted) == (3, 1)
    try:
        await loop.run_in_executor(house.threads, int, "no number")
    except ValueError:
        pass
    else:
        raise AssertionError("an error was lost")


async def process_pool(house: House) -> None:
    """Calls in a process, small and large ones; now and then one ends the process."""
    loop = asyncio.get_running_loop()

    def call(function: Any, *arguments: Any) -> asyncio.Future[Any]:
        return loop.run_in_executor(house.processes, function, *arguments)

    data = house.random.randbytes(200_000)
    sums = [call(sum, range(number)) for number in range(10)]
    call(int).cancel()
    if house.random.randrange(20) == 0:
        try:
            await call(os._exit, 3)
        except rondel.WorkerDied as died:
            assert died.exitcode == 3
        else:
            raise AssertionError("a worker outlived its end")
    expected = [number * (number - 1) // 2 for number in range(10)]
    assert await asyncio.gather(*sums) == expected, "results lost"
    # Last, so that whichever worker there is in a rest has the shared memory of large values.
    assert await call(bytes, data) == data, "bytes lost between processes"


async def tasks(house: House) -> None:
    """Tasks that end, fail, are cancelled, and pass things on to each other."""
    queue: asyncio.Queue[int] = asyncio.Queue(3)

    async def produce() -> None:
        for number in range(20):
            await queue.put(number)

    async def consume() -> list[int]:
        return [await queue.get() for _ in range(20)]

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        consumer = group.create_task(consume())
    assert consumer.result() == list(range(20))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(3600))
    except* LookupError:
        pass
    sleeping = asyncio.create_task(asyncio.sleep(3600))
    await turns(house)
    sleeping.cancel()
    assert isinstance(
        (await asyncio.gather(sleeping, return_exceptions=True))[0], asyncio.CancelledError
    )


async def generators(house: House) -> None:
    """Asynchronous generators, also left to the collector half-way."""

    async def count() -> Any:
        for number in range(10):
            await asyncio.sleep(0)
            yield number

    assert [number async for number in count()] == list(range(10))
    async for number in count():
        if number == 3:
            break


async def watchers(house: House) -> None:
    """Descriptors that are watched for reading and writing."""
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        readable, writable = loop.create_future(), loop.create_future()

        def read() -> None:
            if not readable.done():
                readable.set_result(left.recv(10))

        def write() -> None:
            if not writable.done():
                writable.set_result(right.send(b"ready"))

        loop.add_reader(left, read)
        loop.add_writer(right, write)
        assert await writable == 5
        assert await readable == b"ready", "another descriptor's bytes"
        assert loop.remove_reader(left)
        assert loop.remove_writer(right)


async def signals(house: House) -> None:
    """A signal that the process sends itself."""
    loop = asyncio.get_running_loop()
    caught = loop.create_future()
    number = house.random.choice(range(signal.SIGRTMIN, signal.SIGRTMAX))
    if signal.getsignal(number) != signal.SIG_DFL:
        return  # another worker is waiting for this one
    loop.add_signal_handler(number, caught.set_result, number)
    os.kill(os.getpid(), number)
    assert await caught == number
    assert loop.remove_signal_handler(number)


EXCHANGES = (
    processes,
    pipes,
    timers,
    timeouts,
    threads,
    thread_pool,
    process_pool,
    tasks,
    generators,
    watchers,
    signals,
)
