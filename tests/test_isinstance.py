"""What libraries ask with ``isinstance``."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from io import FileIO

import pytest
from support.loops import STDLIB, Loop
from support.net import connected, served
from support.protocols import DatagramRecorder, Recorder


async def nothing() -> None:
    """A coroutine."""


def test_the_loop_is_an_asyncio_loop(loop: Loop) -> None:
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(loop, asyncio.BaseEventLoop)
    assert isinstance(loop, asyncio.SelectorEventLoop)
    assert issubclass(type(loop), asyncio.AbstractEventLoop)


def test_the_loop_has_every_method_of_the_standard_loop(loop: Loop) -> None:
    for name, member in inspect.getmembers(asyncio.SelectorEventLoop):
        if not name.startswith("_"):
            assert callable(getattr(loop, name)) is callable(member), name


def test_handles_are_asyncio_handles(loop: Loop) -> None:
    assert isinstance(loop.call_soon(int), asyncio.Handle)
    assert isinstance(loop.call_soon_threadsafe(int), asyncio.Handle)
    timer = loop.call_later(1, int)
    assert isinstance(timer, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)


async def test_tasks_and_futures_are_asyncio_ones(loop: Loop) -> None:
    future = loop.create_future()
    task = loop.create_task(nothing())
    assert isinstance(future, asyncio.Future)
    assert not isinstance(future, asyncio.Task)
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert asyncio.isfuture(future)
    assert asyncio.isfuture(task)
    assert inspect.isawaitable(future)
    assert inspect.isawaitable(task)
    assert asyncio.ensure_future(task) is task
    future.cancel()
    await task


async def test_servers_are_asyncio_servers(loop: Loop) -> None:
    async with served(loop) as (server, _, _):
        assert isinstance(server, asyncio.AbstractServer)
        assert isinstance(server, asyncio.Server)


async def test_stream_transports_are_asyncio_transports(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _):
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.ReadTransport)
        assert isinstance(transport, asyncio.WriteTransport)
        assert isinstance(transport, asyncio.BaseTransport)
        assert not isinstance(transport, asyncio.DatagramTransport)


async def test_datagram_transports_are_asyncio_transports(loop: Loop, loop_kind: str) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        DatagramRecorder, local_addr=("127.0.0.1", 0)
    )
    if sys.version_info >= (3, 12) or loop_kind != STDLIB:
        assert isinstance(transport, asyncio.DatagramTransport)
    assert isinstance(transport, asyncio.BaseTransport)
    transport.close()
    await protocol.lost()
    await asyncio.sleep(0)


async def test_pipe_transports_are_asyncio_transports(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    reading, reader = await loop.connect_read_pipe(Recorder, FileIO(read_end, "rb"))
    writing, writer = await loop.connect_write_pipe(Recorder, FileIO(write_end, "wb"))
    assert isinstance(reading, asyncio.ReadTransport)
    assert isinstance(writing, asyncio.WriteTransport)
    writing.close()
    await writer.lost()
    await reader.lost()
    await asyncio.sleep(0)


async def test_subprocess_transports_are_asyncio_transports(loop: Loop) -> None:
    transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "true")
    assert isinstance(transport, asyncio.SubprocessTransport)
    await transport._wait()  # type: ignore[attr-defined]
    transport.close()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_streams_are_asyncio_streams(loop: Loop) -> None:
    async with served(loop) as (_, address, _):
        reader, writer = await asyncio.open_connection(*address)
        assert isinstance(reader, asyncio.StreamReader)
        assert isinstance(writer, asyncio.StreamWriter)
        assert isinstance(writer.transport, asyncio.Transport)
        writer.close()
        await writer.wait_closed()


async def test_match_and_type_checks_agree(loop: Loop) -> None:
    match loop.create_task(nothing()):
        case asyncio.Task() as task:
            await task
        case other:
            pytest.fail(f"not a task: {other!r}")


def test_the_loop_can_be_subclassed(loop: Loop) -> None:
    class Mine(type(loop)):  # type: ignore[misc]
        extra = "attribute"

        def call_soon(self, callback, *args, context=None):  # type: ignore[no-untyped-def]
            seen.append(callback)
            return super().call_soon(callback, *args, context=context)

    seen: list[object] = []
    mine = Mine()
    try:
        mine.call_soon(int)
        assert seen == [int]
        assert mine.extra == "attribute"
        mine.set_in_instance = 1
        assert mine.set_in_instance == 1
        assert mine.run_until_complete(asyncio.sleep(0.001, "works")) == "works"
    finally:
        mine.close()


def test_rondels_names(loop: Loop, loop_kind: str) -> None:
    if loop_kind == STDLIB:
        pytest.skip("names of Rondel's own module")
    import rondel

    assert isinstance(loop, rondel.Loop)
    assert isinstance(rondel.__version__, str)
    assert isinstance(loop.driver, str)
    assert rondel.run(asyncio.sleep(0, "ran")) == "ran"
