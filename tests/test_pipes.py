"""Pipes: ``connect_read_pipe`` and ``connect_write_pipe``."""

from __future__ import annotations

import asyncio
import os
from io import FileIO
from pathlib import Path

import pytest
from support.loops import Loop
from support.net import turns
from support.protocols import Recorder


async def test_what_is_written_to_a_pipe_is_received(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(read_end, "rb"))
    assert isinstance(transport, asyncio.ReadTransport)
    assert transport.get_extra_info("pipe").fileno() == read_end
    os.write(write_end, b"hello")
    assert await protocol.got(5) == b"hello"
    os.write(write_end, b" again")
    assert await protocol.got(11) == b"hello again"
    os.close(write_end)
    assert await protocol.lost() is None
    assert protocol.names()[-2:] == ["eof", "lost"]
    await turns(2)


async def test_reading_can_be_paused(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(read_end, "rb"))
    transport.pause_reading()
    os.write(write_end, b"waits")
    await turns(5)
    assert protocol.received == b""
    transport.resume_reading()
    assert await protocol.got(5) == b"waits"
    transport.close()
    assert await protocol.lost() is None
    os.close(write_end)
    await turns(2)


async def test_what_a_transport_writes_comes_out_of_the_pipe(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_write_pipe(Recorder, FileIO(write_end, "wb"))
    assert isinstance(transport, asyncio.WriteTransport)
    transport.write(b"hello ")
    transport.write(bytearray(b"world"))
    transport.write(memoryview(b"!"))
    await turns(2)
    assert os.read(read_end, 100) == b"hello world!"
    transport.close()
    assert await protocol.lost() is None
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    await turns(2)


async def test_a_full_pipe_buffers_and_pauses(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    transport, protocol = await loop.connect_write_pipe(Recorder, FileIO(write_end, "wb"))
    data = os.urandom(1_000_000)
    transport.write(data)
    assert transport.get_write_buffer_size() > 0
    assert protocol.count("pause") == 1
    transport.write_eof()
    received = bytearray()
    while len(received) < len(data):
        try:
            received += os.read(read_end, 65536)
        except BlockingIOError:
            await asyncio.sleep(0)
    assert bytes(received) == data
    assert await protocol.lost() is None
    os.close(read_end)
    await turns(2)


async def test_a_reader_that_goes_away_ends_the_transport(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_write_pipe(Recorder, FileIO(write_end, "wb"))
    os.close(read_end)
    assert isinstance(await protocol.lost(), BrokenPipeError | None)
    assert transport.is_closing()
    await turns(2)


async def test_streams_over_a_pipe(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), FileIO(read_end, "rb")
    )
    os.write(write_end, b"one\ntwo\n")
    assert await reader.readline() == b"one\n"
    os.close(write_end)
    assert await reader.read() == b"two\n"
    transport.close()
    await turns(3)


async def test_a_pseudo_terminal(loop: Loop) -> None:
    primary, secondary = os.openpty()
    transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(primary, "rb"))
    os.write(secondary, b"typed\n")
    assert (await protocol.got(7)).replace(b"\r\n", b"\n") == b"typed\n"
    os.close(secondary)
    await protocol.lost()
    assert transport.is_closing()
    await turns(2)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_regular_files_are_refused(loop: Loop, method: str, tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w+b") as file,
        pytest.raises(ValueError, match=r"Pipe transport is (only )?for pipes"),
    ):
        await getattr(loop, method)(Recorder, file)
