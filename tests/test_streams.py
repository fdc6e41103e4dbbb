"""Streams: ``open_connection``, ``start_server``, readers and writers."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import listening, turns

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def stream_server(handle: Handler) -> AsyncIterator[tuple[str, int]]:
    """A server that runs ``handle`` for each connection; its address."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await server.wait_closed()
        await turns(5)


@asynccontextmanager
async def stream_to(
    loop: Loop, *, limit: int = 2**16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]]:
    """A stream and the plain non-blocking socket at its other end."""
    with listening() as server:
        reader, writer = await asyncio.open_connection(*server.getsockname(), limit=limit)
        peer, _ = server.accept()
    peer.setblocking(False)
    with peer:
        try:
            yield reader, writer, peer
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass
            await turns(2)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_server_echoes_lines(loop: Loop) -> None:
    async with stream_server(echo) as address:
        reader, writer = await asyncio.open_connection(*address)
        for number in range(10):
            writer.write(b"line %d\n" % number)
            await writer.drain()
            assert await reader.readline() == b"line %d\n" % number
        writer.close()
        await writer.wait_closed()


async def test_read_returns_what_is_there(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"hello")
        assert await reader.read(3) == b"hel"
        assert await reader.read(100) == b"lo"
        assert await reader.read(0) == b""
        waiting = loop.create_task(reader.read(100))
        await turns(3)
        assert not waiting.done()
        await loop.sock_sendall(peer, b"late")
        assert await waiting == b"late"
        assert not reader.at_eof()


async def test_read_to_the_end(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"all ")
        waiting = loop.create_task(reader.read())
        await turns(3)
        await loop.sock_sendall(peer, b"of it")
        peer.close()
        assert await waiting == b"all of it"
        assert reader.at_eof()
        assert await reader.read(1) == b""


async def test_readexactly_waits_for_all(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        waiting = loop.create_task(reader.readexactly(6))
        await loop.sock_sendall(peer, b"abc")
        await turns(3)
        assert not waiting.done()
        await loop.sock_sendall(peer, b"defg")
        assert await waiting == b"abcdef"
        assert await reader.readexactly(0) == b""
        with pytest.raises(ValueError, match="readexactly size can not be less than zero"):
            await reader.readexactly(-1)
        assert await reader.readexactly(1) == b"g"


async def test_readexactly_tells_what_came_before_the_end(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"abc")
        peer.close()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readexactly(10)
        assert caught.value.partial == b"abc"
        assert caught.value.expected == 10


async def test_readline(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"one\ntw")
        assert await reader.readline() == b"one\n"
        waiting = loop.create_task(reader.readline())
        await turns(3)
        await loop.sock_sendall(peer, b"o\n\nlast")
        assert await waiting == b"two\n"
        assert await reader.readline() == b"\n"
        peer.close()
        assert await reader.readline() == b"last"
        assert await reader.readline() == b""


async def test_a_reader_is_iterated_by_lines(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"one\ntwo\nthree")
        peer.close()
        assert [line async for line in reader] == [b"one\n", b"two\n", b"three"]


async def test_readuntil(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        await loop.sock_sendall(peer, b"head\r\n\r\nbody")
        assert await reader.readuntil(b"\r\n\r\n") == b"head\r\n\r\n"
        peer.close()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readuntil(b"\r\n")
        assert caught.value.partial == b"body"
        with pytest.raises(ValueError, match="Separator should be at least one-byte"):
            await reader.readuntil(b"")


async def test_a_line_longer_than_the_limit_is_refused(loop: Loop) -> None:
    async with stream_to(loop, limit=10) as (reader, _, peer):
        await loop.sock_sendall(peer, b"far too long for this\nnext\n")
        with pytest.raises(ValueError, match="limit"):
            await reader.readline()
        assert await reader.readline() == b"next\n"


async def test_readuntil_beyond_the_limit_leaves_the_data(loop: Loop) -> None:
    async with stream_to(loop, limit=10) as (reader, _, peer):
        await loop.sock_sendall(peer, b"far too long for this!")
        with pytest.raises(asyncio.LimitOverrunError) as caught:
            await reader.readuntil(b"!")
        assert caught.value.consumed > 10
        assert await reader.readexactly(22) == b"far too long for this!"


async def test_readexactly_may_exceed_the_limit(loop: Loop) -> None:
    async with stream_to(loop, limit=10) as (reader, _, peer):
        data = os.urandom(100_000)
        sending = loop.create_task(loop.sock_sendall(peer, data))
        assert await reader.readexactly(len(data)) == data
        await sending


async def test_a_full_reader_stops_the_sender(loop: Loop) -> None:
    async with stream_to(loop, limit=1000) as (reader, _, peer):
        data = bytes(10_000_000)
        sending = loop.create_task(loop.sock_sendall(peer, data))
        await turns(200)
        assert not sending.done()
        assert await reader.readexactly(len(data)) == data
        await sending


async def test_drain_waits_until_there_is_room(loop: Loop) -> None:
    async with stream_to(loop) as (_, writer, peer):
        writer.write(b"small")
        await writer.drain()
        writer.write(bytes(10_000_000))
        draining = loop.create_task(writer.drain())
        await turns(10)
        assert not draining.done()
        left = 10_000_005
        while left:
            left -= len(await loop.sock_recv(peer, 1 << 20))
        await draining


async def test_several_tasks_may_drain_at_once(loop: Loop) -> None:
    async with stream_to(loop) as (_, writer, peer):
        writer.write(bytes(10_000_000))
        draining = [loop.create_task(writer.drain()) for _ in range(3)]
        left = 10_000_000
        while left:
            left -= len(await loop.sock_recv(peer, 1 << 20))
        await asyncio.gather(*draining)


async def test_drain_raises_when_the_connection_is_lost(loop: Loop) -> None:
    async with stream_to(loop) as (_, writer, peer):
        writer.write(bytes(10_000_000))
        draining = loop.create_task(writer.drain())
        await turns(3)
        peer.close()
        with pytest.raises(ConnectionError):
            await draining


async def test_a_reset_is_raised_by_the_reader(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        waiting = loop.create_task(reader.read(1))
        await turns(2)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        peer.close()
        with pytest.raises(ConnectionResetError):
            await waiting


async def test_write_eof_and_what_a_writer_tells(loop: Loop) -> None:
    async with stream_to(loop) as (reader, writer, peer):
        assert writer.can_write_eof()
        assert writer.get_extra_info("peername") == peer.getsockname()
        assert not writer.is_closing()
        assert writer.transport.get_protocol() is not None
        writer.writelines([b"one ", b"two"])
        writer.write_eof()
        assert await loop.sock_recv(peer, 100) == b"one two"
        assert await loop.sock_recv(peer, 100) == b""
        await loop.sock_sendall(peer, b"answer")
        assert await reader.read(100) == b"answer"
        writer.close()
        assert writer.is_closing()


async def test_wait_closed_waits_for_the_end(loop: Loop) -> None:
    async with stream_to(loop) as (_, writer, peer):
        writer.write(bytes(5_000_000))
        writer.close()
        waiting = loop.create_task(writer.wait_closed())
        await turns(5)
        assert not waiting.done()
        left = 5_000_000
        while left:
            left -= len(await loop.sock_recv(peer, 1 << 20))
        await waiting
        assert await loop.sock_recv(peer, 1) == b""


async def test_cancelling_a_read_loses_no_data(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        for number in range(20):
            waiting = loop.create_task(reader.readexactly(4))
            await turns(number % 4)
            sending = loop.create_task(loop.sock_sendall(peer, b"%04d" % number))
            await turns(number % 3)
            waiting.cancel()
            await sending
            try:
                assert await waiting == b"%04d" % number
            except asyncio.CancelledError:
                assert await reader.readexactly(4) == b"%04d" % number


async def test_two_readers_at_once_are_refused(loop: Loop) -> None:
    async with stream_to(loop) as (reader, _, peer):
        waiting = loop.create_task(reader.read(1))
        await turns(2)
        with pytest.raises(RuntimeError, match=r"read\(\) called while another coroutine is"):
            await reader.read(1)
        await loop.sock_sendall(peer, b"x")
        assert await waiting == b"x"


async def test_a_plain_function_may_handle_connections(loop: Loop) -> None:
    streams: list[Streams] = []
    server = await asyncio.start_server(
        lambda reader, writer: streams.append((reader, writer)), "127.0.0.1", 0
    )
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        client.sendall(b"hello")
        while not streams:
            await asyncio.sleep(0)
        reader, writer = streams[0]
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_handler_that_fails_is_reported(loop: Loop, strays: Strays) -> None:
    done = asyncio.Event()

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done.set()
        writer.close()
        raise LookupError("handler")

    async with stream_server(fail) as address:
        reader, writer = await asyncio.open_connection(*address)
        await done.wait()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    gc.collect()
    context = strays.take_one()
    assert isinstance(context["exception"], LookupError)
    context.clear()


async def test_a_connected_socket_becomes_a_stream(loop: Loop) -> None:
    async with stream_server(echo) as address:
        sock = socket.create_connection(address)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()


async def test_large_payloads_come_back_whole(loop: Loop) -> None:
    data = os.urandom(5_000_000)
    async with stream_server(echo) as address:
        reader, writer = await asyncio.open_connection(*address)

        async def send() -> None:
            for offset in range(0, len(data), 50_000):
                writer.write(data[offset : offset + 50_000])
                await writer.drain()
            writer.write_eof()

        sending = loop.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        await writer.wait_closed()


async def test_a_hundred_clients_at_once(loop: Loop) -> None:
    async with stream_server(echo) as address:

        async def ask(number: int) -> None:
            reader, writer = await asyncio.open_connection(*address)
            for step in range(5):
                line = b"%d %d\n" % (number, step)
                writer.write(line)
                assert await reader.readline() == line
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(ask(number) for number in range(100)))
