"""``BufferedProtocol``: the transport receives into the protocol's own buffer."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import connected, turns
from support.protocols import BufferedRecorder, Recorder


async def test_data_is_received_into_the_protocols_buffer(loop: Loop) -> None:
    async with connected(loop, BufferedRecorder) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"hello")
        assert await protocol.got(5) == b"hello"
        assert protocol.buffer[:5] == b"hello"
        assert protocol.hints
        assert all(isinstance(hint, int) for hint in protocol.hints)


async def test_data_larger_than_the_buffer_comes_in_pieces(loop: Loop) -> None:
    data = os.urandom(1_000_000)
    async with connected(loop, lambda: BufferedRecorder(1000)) as (_, protocol, peer):
        sending = loop.create_task(loop.sock_sendall(peer, data))
        received = await protocol.got(len(data))
        await sending
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        assert max(len(event[1]) for event in protocol.events if event[0] == "data") <= 1000


async def test_a_buffer_of_one_byte(loop: Loop) -> None:
    async with connected(loop, lambda: BufferedRecorder(1)) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"bytes")
        assert await protocol.got(5) == b"bytes"
        assert protocol.count("data") == 5


async def test_a_memoryview_into_a_larger_buffer(loop: Loop) -> None:
    class Appending(BufferedRecorder):
        filled = 0

        def get_buffer(self, sizehint: int) -> Any:
            return memoryview(self.buffer)[self.filled :]

        def buffer_updated(self, nbytes: int) -> None:
            self.filled += nbytes
            self.record("data", nbytes)

    async with connected(loop, Appending) as (_, protocol, peer):
        for piece in (b"one", b"two", b"three"):
            await loop.sock_sendall(peer, piece)
            await turns(3)
        await protocol.until(lambda: protocol.filled == 11)
        assert bytes(protocol.buffer[:11]) == b"onetwothree"


async def test_the_end_is_told(loop: Loop) -> None:
    async with connected(loop, BufferedRecorder) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"x")
        await protocol.got(1)
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "data", "eof", "lost"]


async def test_the_transport_may_be_kept_open_at_the_end(loop: Loop) -> None:
    async with connected(loop, lambda: BufferedRecorder(keep_open=True)) as (
        transport,
        protocol,
        peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        await protocol.happened("eof")
        transport.write(b"still here")
        assert await loop.sock_recv(peer, 100) == b"still here"


async def test_pause_and_resume_reading(loop: Loop) -> None:
    async with connected(loop, BufferedRecorder) as (transport, protocol, peer):
        transport.pause_reading()
        await loop.sock_sendall(peer, b"waits")
        await turns(5)
        assert protocol.received == b""
        transport.resume_reading()
        assert await protocol.got(5) == b"waits"


class Failing(BufferedRecorder):
    """Raises in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.error = LookupError(method)

    def get_buffer(self, sizehint: int) -> bytearray:
        if self.method == "get_buffer":
            raise self.error
        return super().get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if self.method == "buffer_updated":
            raise self.error

    def eof_received(self) -> None:
        super().eof_received()
        if self.method == "eof_received":
            raise self.error


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated", "eof_received"])
async def test_a_protocol_that_fails_loses_its_connection(
    loop: Loop, strays: Strays, method: str
) -> None:
    async with connected(loop, lambda: Failing(method)) as (transport, protocol, peer):
        await loop.sock_sendall(peer, b"x")
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost() is protocol.error
        context = strays.take_one()
        assert context["message"] == f"Fatal error: protocol.{method}() call failed."
        assert context["exception"] is protocol.error
        assert context["transport"] is transport
        assert context["protocol"] is protocol


async def test_an_empty_buffer_is_fatal(loop: Loop, strays: Strays) -> None:
    async with connected(loop, lambda: BufferedRecorder(0)) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"x")
        error = await protocol.lost()
        assert isinstance(error, RuntimeError)
        assert str(error) == "get_buffer() returned an empty buffer"
        context = strays.take_one()
        assert context["message"] == "Fatal error: protocol.get_buffer() call failed."


@pytest.mark.parametrize("wrong", [None, 5, "text", b"read-only"])
async def test_what_is_no_writable_buffer_is_fatal(
    loop: Loop, strays: Strays, wrong: object
) -> None:
    class Wrong(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> Any:
            return wrong

    async with connected(loop, Wrong) as (transport, protocol, peer):
        await loop.sock_sendall(peer, b"x")
        error = await protocol.lost()
        assert isinstance(error, TypeError)
        assert transport.is_closing()
        context = strays.take_one()
        assert context["exception"] is error
        assert context["message"].startswith("Fatal ")


async def test_a_buffer_that_is_exported_elsewhere_stays_usable(loop: Loop) -> None:
    async with connected(loop, BufferedRecorder) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"hello")
        await protocol.got(5)
        await turns(3)
        protocol.buffer += b"grown"  # raises if the transport still held the buffer
        protocol.buffer.clear()
        protocol.buffer += bytes(100)
        await loop.sock_sendall(peer, b"again")
        assert await protocol.got(10) == b"helloagain"


async def test_switching_between_buffered_and_plain_protocols(loop: Loop) -> None:
    async with connected(loop, BufferedRecorder) as (transport, buffered, peer):
        expected = 0
        plain = Recorder()
        for round_ in range(5):
            transport.set_protocol(plain if round_ % 2 else buffered)
            receiver = plain if round_ % 2 else buffered
            size = len(receiver.received) + 3
            await loop.sock_sendall(peer, b"abc")
            await receiver.got(size)
            expected += 3
        assert buffered.received == b"abc" * 3
        assert plain.received == b"abc" * 2
        assert expected == 15
        transport.set_protocol(buffered)


async def test_switching_from_within_buffer_updated(loop: Loop) -> None:
    plain = Recorder()

    class HandsOver(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.set_protocol(plain)

    async with connected(loop, lambda: HandsOver(3)) as (transport, buffered, peer):
        await loop.sock_sendall(peer, b"onetwo")
        assert await plain.got(3) == b"two"
        assert buffered.received == b"one"
        transport.set_protocol(buffered)


async def test_closing_from_within_buffer_updated_stops_reading(loop: Loop) -> None:
    class Closes(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.close()

    async with connected(loop, lambda: Closes(2)) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"more than two")
        await protocol.lost()
        assert protocol.received == b"mo"
