"""The transports of pipes themselves: their life, what waits in them, who is told of failures."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import socket
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from support.leaks import Ledger, Strays
from support.loops import STDLIB, Loop
from support.net import turns
from support.protocols import Recorder

Pair = tuple[int, int]


@pytest.fixture
def pipe(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """The descriptors of a pipe; a test that gives one away closes neither."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for descriptor in (read_end, write_end):
        try:
            os.close(descriptor)
        except OSError as error:
            assert error.errno == errno.EBADF


@asynccontextmanager
async def reading(
    loop: Loop, descriptor: int, factory: Any = Recorder
) -> AsyncIterator[tuple[Any, Any]]:
    """A transport that reads, closed at the end."""
    transport, protocol = await loop.connect_read_pipe(factory, FileIO(descriptor, "rb"))
    try:
        yield transport, protocol
    finally:
        transport.close()
        await protocol.lost()
        await turns(2)


@asynccontextmanager
async def writing(
    loop: Loop, descriptor: int, factory: Any = Recorder
) -> AsyncIterator[tuple[Any, Any]]:
    """A transport that writes, aborted at the end unless it is closed."""
    transport, protocol = await loop.connect_write_pipe(factory, FileIO(descriptor, "wb"))
    try:
        yield transport, protocol
    finally:
        if not transport.is_closing():
            transport.abort()
        await protocol.lost()
        await turns(2)


async def read_all(descriptor: int) -> bytes:
    """Read a non-blocking descriptor to its end."""
    os.set_blocking(descriptor, False)
    received = bytearray()
    while True:
        try:
            data = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not data:
            return bytes(received)
        received += data


def fill(transport: Any) -> int:
    """Write until something waits; how much was written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(bytes(8192))
        written += 8192
    return written


# What they are


async def test_their_repr_names_them_their_descriptor_and_their_state(
    loop: Loop, pipe: Pair
) -> None:
    async with writing(loop, pipe[1]) as (writer, _), reading(loop, pipe[0]) as (reader, _):
        assert f"ReadPipeTransport fd={pipe[0]} polling>" in repr(reader)
        assert f"WritePipeTransport fd={pipe[1]} idle bufsize=0>" in repr(writer)
        reader.pause_reading()
        assert f"ReadPipeTransport fd={pipe[0]} idle>" in repr(reader)
        fill(writer)
        assert f"WritePipeTransport fd={pipe[1]} polling bufsize=" in repr(writer)
        reader.close()
        writer.abort()
        assert f"ReadPipeTransport closing fd={pipe[0]}" in repr(reader)
        assert f"WritePipeTransport closing fd={pipe[1]}" in repr(writer)
    assert f"ReadPipeTransport closed fd={pipe[0]} closed>" in repr(reader)
    assert f"WritePipeTransport closed fd={pipe[1]} closed>" in repr(writer)


async def test_they_know_the_pipe_and_nothing_of_sockets(loop: Loop, pipe: Pair) -> None:
    async with writing(loop, pipe[1]) as (writer, _), reading(loop, pipe[0]) as (reader, _):
        for transport, descriptor in ((reader, pipe[0]), (writer, pipe[1])):
            assert transport.get_extra_info("pipe").fileno() == descriptor
            assert transport.get_extra_info("socket") is None
            assert transport.get_extra_info("peername", "unknown") == "unknown"
            assert weakref.ref(transport)() is transport
            assert not os.get_blocking(descriptor)


async def test_they_take_another_protocol(loop: Loop, pipe: Pair) -> None:
    async with reading(loop, pipe[0]) as (reader, first):
        assert reader.get_protocol() is first
        second = Recorder()
        reader.set_protocol(second)
        assert reader.get_protocol() is second
        os.write(pipe[1], b"for the second")
        assert await second.got(14) == b"for the second"
        reader.set_protocol(first)


@pytest.mark.parametrize("end", ["read", "write"])
async def test_one_that_is_forgotten_warns_and_closes_its_pipe(
    loop: Loop, pipe: Pair, end: str
) -> None:
    if end == "read":
        transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(pipe[0], "rb"))
        transport.pause_reading()
    else:
        # A terminal's reading half is not watched, so nobody else knows the transport.
        _, secondary = os.openpty()
        transport, protocol = await loop.connect_write_pipe(Recorder, FileIO(secondary, "wb"))
        os.close(_)
    file = transport.get_extra_info("pipe")
    protocol.transport = None
    known = [transport]
    del transport
    with pytest.warns(ResourceWarning, match=r"unclosed transport <.*PipeTransport"):
        known.clear()
    assert file.closed


# Kinds of files


async def test_a_named_fifo(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_end = os.open(path, os.O_WRONLY)
    async with reading(loop, read_end) as (_, protocol):
        async with writing(loop, write_end) as (writer, _):
            writer.write(b"through the file system")
            writer.close()
        assert await protocol.lost() is None
        assert protocol.received == b"through the file system"


async def test_a_pair_of_sockets(loop: Loop) -> None:
    left, right = socket.socketpair()
    reader, received = await loop.connect_read_pipe(Recorder, left)
    writer, wrote = await loop.connect_write_pipe(Recorder, right)
    writer.write(b"through a socket")
    assert await received.got(16) == b"through a socket"
    writer.write_eof()
    assert await wrote.lost() is None
    assert await received.lost() is None
    assert received.names()[-2:] == ["eof", "lost"]
    await turns(2)
    assert left.fileno() == right.fileno() == -1
    assert reader.is_closing()


async def test_the_null_device(loop: Loop) -> None:
    async with writing(loop, os.open(os.devnull, os.O_WRONLY)) as (writer, protocol):
        writer.write(bytes(1_000_000))
        assert writer.get_write_buffer_size() == 0
        writer.close()
        assert await protocol.lost() is None


async def test_what_a_terminal_echoes_is_not_its_end(loop: Loop) -> None:
    primary, secondary = os.openpty()
    try:
        async with writing(loop, secondary) as (writer, _):
            os.write(primary, b"typed\n")
            await turns(5)
            assert not writer.is_closing()
            writer.write(b"shown")
            shown = b""
            while b"shown" not in shown:
                shown += os.read(primary, 100)
    finally:
        os.close(primary)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_a_file_that_is_refused_stays_the_callers(
    loop: Loop, method: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("r+b", buffering=0) as file:
        with pytest.raises(ValueError, match=r"^Pipe transport is (only )?for pipes"):
            await getattr(loop, method)(Recorder, file)
        assert file.read() == b"content"
        assert os.get_blocking(file.fileno())


# Reading


async def test_much_is_read_whole(loop: Loop, pipe: Pair) -> None:
    data = random.Random(1).randbytes(5_000_000)
    async with reading(loop, pipe[0]) as (_, protocol):
        async with writing(loop, pipe[1]) as (writer, _):
            sizes = random.Random(2)
            sent = 0
            while sent < len(data):
                size = sizes.choice([1, 100, 4095, 4096, 4097, 65536, 200_000])
                writer.write(data[sent : sent + size])
                sent += size
                if writer.get_write_buffer_size() > 500_000:
                    await asyncio.sleep(0)
            writer.close()
        assert await protocol.lost() is None
        assert protocol.received == data


async def test_a_protocol_that_fails_is_reported_and_goes_on(
    loop: Loop, pipe: Pair, strays: Strays
) -> None:
    class Fails(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise LookupError("data_received")

    async with reading(loop, pipe[0], Fails) as (reader, protocol):
        os.write(pipe[1], b"one")
        await protocol.got(3)
        context = strays.take_one()
        assert context["message"].startswith("Exception in callback ")
        assert isinstance(context["exception"], LookupError)
        assert reader.is_reading()
        os.write(pipe[1], b"two")
        await protocol.got(6)
        strays.take_one()


async def test_a_protocol_without_eof_received_is_told_of_the_end_all_the_same(
    loop: Loop, loop_kind: str, pipe: Pair, strays: Strays
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard transport does not come to its end")

    class HasNone(Recorder):
        @property
        def eof_received(self) -> Any:  # type: ignore[override]
            raise AttributeError("eof_received")

    async with reading(loop, pipe[0], HasNone) as (_, protocol):
        os.close(pipe[1])
        assert await protocol.lost() is None
        assert isinstance(strays.take_one()["exception"], AttributeError)


async def test_the_closed_end_of_a_terminal_is_not_reported(loop: Loop, strays: Strays) -> None:
    primary, secondary = os.openpty()
    async with reading(loop, primary) as (_, protocol):
        os.close(secondary)
        lost = await protocol.lost()
        assert isinstance(lost, OSError)
        assert lost.errno == errno.EIO
    assert strays.take() == []


async def test_a_protocol_may_close_or_pause_in_the_midst(loop: Loop, pipe: Pair) -> None:
    class Pauses(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async with reading(loop, pipe[0], Pauses) as (reader, protocol):
        os.write(pipe[1], b"one")
        await protocol.got(3)
        os.write(pipe[1], b"two")
        await turns(5)
        assert protocol.received == b"one"
        assert not reader.is_reading()
        reader.resume_reading()
        await protocol.got(6)
        reader.close()
        reader.resume_reading()
        assert not reader.is_reading()


async def test_a_connection_made_that_closes_is_the_end(loop: Loop, pipe: Pair) -> None:
    class Closes(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            transport.close()

    loop.set_debug(False)  # which would log the number of the pipe that is closed
    os.write(pipe[1], b"never read")
    async with reading(loop, pipe[0], Closes) as (_, protocol):
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "lost"]


async def test_a_cancelled_connect_closes_the_pipe(loop: Loop, pipe: Pair) -> None:
    for method, descriptor, mode in (
        (loop.connect_read_pipe, pipe[0], "rb"),
        (loop.connect_write_pipe, pipe[1], "wb"),
    ):
        file = FileIO(descriptor, mode)
        task = loop.create_task(method(Recorder, file))
        await turns(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(3)
        assert file.closed


# Writing


async def test_each_write_is_a_packet_of_its_own(loop: Loop, nothing_left_behind: Ledger) -> None:
    read_end, write_end = os.pipe2(os.O_DIRECT)
    async with writing(loop, write_end) as (writer, _):
        writer.write(b"one")
        writer.write(b"two")
        writer.writelines([b"th", b"ree"])
        assert [os.read(read_end, 100) for _ in range(3)] == [b"one", b"two", b"three"]
    os.close(read_end)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_bytes_like_object_can_be_written_and_changed_afterwards(
    loop: Loop, pipe: Pair, kind: Any
) -> None:
    data = os.urandom(200_000)
    async with writing(loop, pipe[1]) as (writer, _):
        given = bytearray(data)
        writer.write(kind(given))
        writer.write(kind(b""))
        given[:] = bytes(len(given))
        writer.close()
        assert await read_all(pipe[0]) == data


@pytest.mark.parametrize("wrong", ["text", 5, None, [b"x"]])
async def test_nothing_else_can_be_written(loop: Loop, pipe: Pair, wrong: Any) -> None:
    async with writing(loop, pipe[1]) as (writer, _):
        with pytest.raises(AssertionError) as refused:
            writer.write(wrong)
        assert str(refused.value) == repr(wrong)


async def test_what_waits_is_counted_and_steers_the_protocol(loop: Loop, pipe: Pair) -> None:
    async with writing(loop, pipe[1]) as (writer, protocol):
        assert writer.get_write_buffer_limits() == (16384, 65536)
        written = fill(writer)
        waits = writer.get_write_buffer_size()
        writer.set_write_buffer_limits(high=waits + 10)
        assert not protocol.count("pause")
        writer.write(bytes(11))
        assert writer.get_write_buffer_size() == waits + 11
        assert protocol.count("pause") == 1
        writer.write(b"x")
        assert protocol.count("pause") == 1
        os.set_blocking(pipe[0], False)
        received = 0
        while received < written + 12:
            try:
                received += len(os.read(pipe[0], 1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0)
        await protocol.happened("resume")
        assert writer.get_write_buffer_size() == 0
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            writer.set_write_buffer_limits(high=1, low=2)


async def test_close_writes_what_waits(loop: Loop, pipe: Pair) -> None:
    async with writing(loop, pipe[1]) as (writer, protocol):
        written = fill(writer)
        assert writer.can_write_eof()
        writer.write_eof()
        writer.write(b"too late")
        await turns(3)
        assert writer.is_closing()
        assert not protocol.count("lost")
        assert len(await read_all(pipe[0])) == written
        assert await protocol.lost() is None


async def test_abort_drops_what_waits(loop: Loop, pipe: Pair) -> None:
    async with writing(loop, pipe[1]) as (writer, protocol):
        written = fill(writer)
        waits = writer.get_write_buffer_size()
        writer.close()
        writer.abort()
        assert await protocol.lost() is None
        await turns(2)
        assert len(await read_all(pipe[0])) == written - waits
        assert protocol.count("lost") == 1


async def test_a_reader_that_goes_away_is_an_error_only_if_something_waits(
    loop: Loop, nothing_left_behind: Ledger
) -> None:
    for waits in (False, True):
        read_end, write_end = os.pipe()
        async with writing(loop, write_end) as (writer, protocol):
            if waits:
                fill(writer)
            os.close(read_end)
            lost = await protocol.lost()
            assert isinstance(lost, BrokenPipeError) if waits else lost is None


async def test_a_reader_that_goes_away_while_the_rest_is_written_is_an_error(
    loop: Loop, nothing_left_behind: Ledger
) -> None:
    read_end, write_end = os.pipe()
    async with writing(loop, write_end) as (writer, protocol):
        fill(writer)
        writer.close()
        os.close(read_end)
        assert isinstance(await protocol.lost(), BrokenPipeError)


async def test_a_write_without_a_reader_ends_the_transport(
    loop: Loop, nothing_left_behind: Ledger, strays: Strays
) -> None:
    read_end, write_end = os.pipe()
    async with writing(loop, write_end) as (writer, protocol):
        os.close(read_end)
        writer.write(b"for nobody")
        assert writer.is_closing()
        assert isinstance(await protocol.lost(), BrokenPipeError)
    assert strays.take() == []


async def test_many_writes_after_the_end_are_warned_of(
    loop: Loop, pipe: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with writing(loop, pipe[1]) as (writer, _):
        writer.close()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(7):
                writer.write(b"too late")
        message = "pipe closed by peer or os.write(pipe, data) raised exception."
        assert [record.getMessage() for record in caplog.records] == [message] * 2


async def test_data_that_is_not_contiguous_ends_the_transport(
    loop: Loop, pipe: Pair, strays: Strays
) -> None:
    async with writing(loop, pipe[1]) as (writer, protocol):
        writer.write(memoryview(b"every other")[::2])
        assert isinstance(await protocol.lost(), BufferError)
        assert strays.take_one()["message"] == "Fatal write error on pipe transport"


async def test_a_pipe_that_is_closed_by_somebody_else_disturbs_nobody(
    loop: Loop, loop_kind: str, nothing_left_behind: Ledger
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard transport ends the watch of whoever has the number then")
    read_end, write_end = os.pipe()
    transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(read_end, "rb"))
    file: Any = transport.get_extra_info("pipe")
    file.close()
    os.close(write_end)
    second_read, second_write = os.pipe()
    assert second_read == read_end
    async with reading(loop, second_read) as (_, second):
        transport.close()
        await protocol.lost()
        os.write(second_write, b"still heard")
        assert await second.got(11) == b"still heard"
    os.close(second_write)


async def test_debug_mode_tells_of_the_other_ends_close(
    loop: Loop, caplog: pytest.LogCaptureFixture, nothing_left_behind: Ledger
) -> None:
    loop.set_debug(True)
    read_end, write_end = os.pipe()
    with caplog.at_level(logging.INFO, "asyncio"):
        async with reading(loop, read_end) as (_, protocol):
            os.close(write_end)
            await protocol.lost()
    assert any("was closed by peer" in record.getMessage() for record in caplog.records)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe is Linux's to set")
async def test_a_large_pipe_is_read_to_its_end(loop: Loop, pipe: Pair) -> None:
    import fcntl

    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    data = os.urandom(1 << 20)
    assert os.write(pipe[1], data) == len(data)
    os.close(pipe[1])
    async with reading(loop, pipe[0]) as (_, protocol):
        await protocol.lost()
        assert protocol.received == data
