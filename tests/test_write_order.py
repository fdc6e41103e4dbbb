"""What was written reaches the peer whatever happens next in the same turn."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from support.leaks import Ledger
from support.loops import Loop, LoopFactory
from support.net import connected, end, gone, listening, receive_all, turns
from support.protocols import BufferedRecorder, Recorder


async def test_close_right_after_a_write(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.write(b"last words")
        transport.close()
        assert await receive_all(loop, peer) == b"last words"
        assert await protocol.lost() is None


async def test_write_eof_right_after_a_write(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        transport.write(b"last words")
        transport.write_eof()
        assert await receive_all(loop, peer) == b"last words"


async def test_abort_right_after_a_small_write(loop: Loop) -> None:
    """What the socket could take had been sent: an error page before an abort, say."""
    async with connected(loop) as (transport, protocol, peer):
        transport.write(b"last words")
        transport.abort()
        assert await receive_all(loop, peer) == b"last words"
        assert await protocol.lost() is None


async def test_close_in_the_callback_that_received(loop: Loop) -> None:
    class Replies(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"reply")
            self.transport.close()

    async with connected(loop, Replies) as (_, _, peer):
        await loop.sock_sendall(peer, b"request")
        assert await receive_all(loop, peer) == b"reply"


async def test_the_peers_end_in_the_turn_of_a_write(loop: Loop) -> None:
    class Replies(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"reply")

    async with connected(loop, Replies) as (_, _, peer):
        await loop.sock_sendall(peer, b"request")
        peer.shutdown(socket.SHUT_WR)
        assert await receive_all(loop, peer) == b"reply"


class FailsInData(Recorder):
    def data_received(self, data: bytes) -> None:
        self.transport.write(b"reply")
        raise LookupError


class FailsAtTheEnd(Recorder):
    def eof_received(self) -> None:
        self.transport.write(b"reply")
        raise LookupError


class FailsInBuffer(BufferedRecorder):
    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(b"reply")
        raise LookupError


@pytest.mark.parametrize("factory", [FailsInData, FailsAtTheEnd, FailsInBuffer])
async def test_a_protocol_that_fails_after_a_write(
    loop: Loop, factory: Callable[[], Recorder]
) -> None:
    loop.set_exception_handler(lambda loop, context: None)
    async with connected(loop, factory) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"request")
        peer.shutdown(socket.SHUT_WR)
        assert await receive_all(loop, peer) == b"reply"
        assert isinstance(await protocol.lost(), LookupError)


async def test_writes_of_one_turn_from_several_callbacks(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        for number in range(20):
            loop.call_soon(transport.write, b"%02d" % number)
        loop.call_soon(transport.close)
        assert await receive_all(loop, peer) == b"".join(b"%02d" % n for n in range(20))


async def test_much_that_many_write_in_one_turn_does_not_wait_for_its_end(loop: Loop) -> None:
    """The first of them has its answer while the turn goes on with the others."""
    arrived: list[bool] = []

    def look(peer: socket.socket) -> None:
        readable, _, _ = select.select([peer], [], [], 10)
        arrived.append(readable == [peer])

    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(loop)) for _ in range(8)]
        for transport, _, _ in connections:
            loop.call_soon(transport.write, bytes(16 * 1024))
        loop.call_soon(look, connections[0][2])
        await turns(1)
        assert arrived == [True]
        for transport, _, peer in connections:
            transport.close()
            assert await receive_all(loop, peer) == bytes(16 * 1024)


@pytest.mark.parametrize("size", [1, 340, 341, 342, 512, 1023, 1024, 5000])
async def test_three_writes_of_one_turn_whatever_their_size(loop: Loop, size: int) -> None:
    """Small ones may leave as one piece."""
    pieces = [bytes([number]) * size for number in (1, 2, 3)]
    async with connected(loop) as (transport, _, peer):
        for piece in pieces:
            transport.write(piece)
        transport.close()
        assert await receive_all(loop, peer) == b"".join(pieces)


async def test_connection_made_may_write_and_close(loop: Loop) -> None:
    class Greets(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.write(b"greeting")
            self.transport.close()

    async with connected(loop, Greets) as (_, protocol, peer):
        assert await receive_all(loop, peer) == b"greeting"
        assert await protocol.lost() is None


def a_connection(loop: Loop) -> tuple[asyncio.Transport, Recorder, socket.socket]:
    """A transport on a loop at rest, and the blocking socket at the other end."""
    with listening() as server:
        transport, protocol = loop.run_until_complete(
            loop.create_connection(Recorder, *server.getsockname())
        )
        peer, _ = server.accept()
    peer.settimeout(10)
    return transport, protocol, peer


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_the_turn_of_a_write(loop: Loop, error: type[BaseException]) -> None:
    transport, protocol, peer = a_connection(loop)

    def write_and_leave() -> None:
        transport.write(b"last words")
        raise error

    loop.call_soon(write_and_leave)
    with pytest.raises(error):
        loop.run_forever()
    with peer:
        assert peer.recv(100) == b"last words"
    loop.run_until_complete(end(transport, protocol))


def test_stopping_the_loop_in_the_turn_of_a_write(loop: Loop) -> None:
    transport, protocol, peer = a_connection(loop)
    loop.call_soon(loop.stop)
    loop.call_soon(transport.write, b"last words")
    loop.run_forever()
    with peer:
        assert peer.recv(100) == b"last words"
    loop.run_until_complete(end(transport, protocol))


def test_a_write_while_the_loop_rests(loop: Loop) -> None:
    transport, protocol, peer = a_connection(loop)
    transport.write(b"at rest")
    with peer:
        loop.run_until_complete(turns(1))
        assert peer.recv(100) == b"at rest"
    loop.run_until_complete(end(transport, protocol))


def test_a_write_before_the_loop_is_closed(
    loop_factory: LoopFactory, nothing_left_behind: Ledger
) -> None:
    """The last write of a loop that never runs again was sent by the standard loop."""
    loop = loop_factory()
    transport, _, peer = a_connection(loop)
    loop.run_until_complete(turns(1))
    transport.write(b"last words")
    loop.close()
    with peer:
        assert peer.recv(100) == b"last words"
    del transport, _
    lost = nothing_left_behind.take_lost_errors()
    assert any("unclosed transport" in error for error in lost)


async def test_a_write_before_the_turn_waits_for_long(loop: Loop) -> None:
    """A write is sent before the loop sleeps, however long."""
    async with connected(loop) as (transport, _, peer):
        received = loop.run_in_executor(None, blocking_receive, peer)
        transport.write(b"soon")
        assert await received == b"soon"


def blocking_receive(peer: socket.socket) -> bytes:
    with socket.socket(fileno=socket.dup(peer.fileno())) as copy:
        copy.settimeout(10)
        return copy.recv(100)


def in_another_thread(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


async def test_a_write_in_a_turn_that_never_ends_but_for_an_answer(loop: Loop) -> None:
    """Two transports of one loop talk to a peer that answers on the other's connection."""
    async with connected(loop) as (one, _, peer_of_one), connected(loop) as (_, two, peer_of_two):

        def forward() -> None:
            with socket.socket(fileno=socket.dup(peer_of_two.fileno())) as out:
                out.sendall(blocking_receive(peer_of_one))

        thread = in_another_thread(forward)
        one.write(b"round about")
        assert await two.got(11) == b"round about"
        thread.join()


def test_transports_of_two_loops_in_one_thread(loop_factory: LoopFactory) -> None:
    first, second = loop_factory(), loop_factory()
    transport, protocol, peer = a_connection(first)

    async def write_from_the_other_loop() -> None:
        transport.write(b"from outside")
        await asyncio.sleep(0)

    first.set_debug(False)
    second.set_debug(False)
    second.run_until_complete(write_from_the_other_loop())
    first.run_until_complete(turns(1))
    with peer:
        assert peer.recv(100) == b"from outside"
    transport.close()
    first.run_until_complete(gone(transport, protocol))
    first.close()
    second.close()
