"""TCP transports: reading, writing, ending."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.leaks import Ledger
from support.loops import Loop
from support.net import connected, gone, listening, receive_all, receive_exactly, turns
from support.protocols import Recorder

RESET = bytes([1, 0, 0, 0, 0, 0, 0, 0])
"""An SO_LINGER value with which closing a socket resets the connection."""


# Reading


async def test_data_is_received_as_bytes_in_order(loop: Loop) -> None:
    async with connected(loop) as (_, protocol, peer):
        for number in range(100):
            await loop.sock_sendall(peer, b"%d," % number)
        expected = b"".join(b"%d," % number for number in range(100))
        assert await protocol.got(len(expected)) == expected
        assert all(type(event[1]) is bytes for event in protocol.events if event[0] == "data")
        assert all(event[1] for event in protocol.events if event[0] == "data")


async def test_received_data_stays_what_it_was(loop: Loop) -> None:
    async with connected(loop) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"first")
        await protocol.got(5)
        await loop.sock_sendall(peer, b"other")
        await protocol.got(10)
        assert b"".join(event[1] for event in protocol.events if event[0] == "data") == (
            b"firstother"
        )


async def test_messages_of_all_sizes_arrive_whole_in_any_order(loop: Loop) -> None:
    sizes = (1, 4_095, 4_096, 100, 65_536, 65_535, 7, 262_144, 300_000, 16_384, 3, 700_000, 1)
    async with connected(loop) as (_, protocol, peer):
        expected = bytearray()
        for number, size in enumerate(sizes):
            message = (b"%d," % number * size)[:size]
            await loop.sock_sendall(peer, message)
            expected += message
            assert await protocol.got(len(expected)) == expected


async def test_pause_and_resume_reading(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        transport.pause_reading()  # a second time changes nothing
        await loop.sock_sendall(peer, b"waits")
        await turns(5)
        assert protocol.received == b""
        transport.resume_reading()
        assert transport.is_reading()
        transport.resume_reading()
        assert await protocol.got(5) == b"waits"


async def test_reading_can_be_paused_when_connected(loop: Loop) -> None:
    class Paused(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    async with connected(loop, Paused) as (transport, protocol, peer):
        await loop.sock_sendall(peer, b"waits")
        await turns(5)
        assert protocol.received == b""
        transport.resume_reading()
        assert await protocol.got(5) == b"waits"


async def test_pausing_in_data_received_stops_the_next_call(loop: Loop) -> None:
    class OneAtATime(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async with connected(loop, OneAtATime) as (transport, protocol, peer):
        await loop.sock_sendall(peer, b"one")
        await protocol.got(3)
        await loop.sock_sendall(peer, b"two")
        await turns(5)
        assert protocol.received == b"one"
        transport.resume_reading()
        assert await protocol.got(6) == b"onetwo"


async def test_the_end_is_not_seen_while_reading_is_paused(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.pause_reading()
        peer.close()
        await turns(5)
        assert protocol.count("eof") == 0
        transport.resume_reading()
        assert await protocol.lost() is None
        assert protocol.names()[-2:] == ["eof", "lost"]


async def test_nothing_is_read_after_close(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        await loop.sock_sendall(peer, b"too late")
        transport.close()
        assert not transport.is_reading()
        await protocol.lost()
        assert protocol.received == b""


# Ends and half-close


@pytest.mark.parametrize("keep_open", [None, False])
async def test_the_peers_end_closes_the_transport(loop: Loop, keep_open: bool | None) -> None:
    async with connected(loop, lambda: Recorder(keep_open=keep_open)) as (
        transport,
        protocol,
        peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost() is None
        assert transport.is_closing()
        assert protocol.names() == ["made", "eof", "lost"]
        assert await loop.sock_recv(peer, 1) == b""


async def test_a_protocol_may_keep_writing_after_the_peers_end(loop: Loop) -> None:
    async with connected(loop, lambda: Recorder(keep_open=True)) as (transport, protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        await protocol.happened("eof")
        await turns(3)
        assert not transport.is_closing()
        transport.write(b"still here")
        assert await receive_exactly(loop, peer, 10) == b"still here"
        assert protocol.count("eof") == 1
        transport.close()
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "eof", "lost"]


async def test_write_eof_ends_our_side_only(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        assert transport.can_write_eof()
        transport.write(b"last words")
        transport.write_eof()
        transport.write_eof()  # a second time changes nothing
        assert await receive_all(loop, peer) == b"last words"
        assert not transport.is_closing()
        await loop.sock_sendall(peer, b"answer")
        assert await protocol.got(6) == b"answer"
        with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
            transport.write(b"more")
        peer.close()
        assert await protocol.lost() is None


async def test_write_eof_waits_for_what_is_buffered(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        data = bytes(range(256)) * 20_000
        transport.write(data)
        assert transport.get_write_buffer_size() > 0
        transport.write_eof()
        assert await receive_all(loop, peer) == data


async def test_close_after_write_eof_ends_the_connection(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.write_eof()
        transport.close()
        assert await protocol.lost() is None
        assert await receive_all(loop, peer) == b""


async def test_close_sends_what_is_buffered_first(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        data = bytes(range(256)) * 20_000
        transport.write(data)
        assert transport.get_write_buffer_size() > 0
        transport.close()
        assert transport.is_closing()
        await turns(3)
        assert protocol.count("lost") == 0
        assert await receive_all(loop, peer) == data
        assert await protocol.lost() is None


async def test_close_is_asynchronous_and_connection_lost_comes_once(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, _):
        transport.close()
        assert protocol.count("lost") == 0
        assert transport.is_closing()
        transport.close()
        transport.abort()
        await protocol.lost()
        transport.close()
        transport.abort()
        await turns(5)
        assert protocol.count("lost") == 1


async def test_abort_drops_what_is_buffered(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.write(bytes(10_000_000))
        assert transport.get_write_buffer_size() > 0
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost() is None
        assert len(await receive_all(loop, peer)) < 10_000_000


async def test_abort_after_close_drops_what_is_buffered(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, _):
        transport.write(bytes(10_000_000))
        transport.close()
        transport.abort()
        assert await protocol.lost() is None


async def test_a_reset_is_told_to_connection_lost(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        assert isinstance(await protocol.lost(), ConnectionResetError)
        assert transport.is_closing()
        assert protocol.count("eof") == 0


async def test_a_failed_write_is_told_to_connection_lost(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.pause_reading()
        transport.write(bytes(10_000_000))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.close()
        assert isinstance(await protocol.lost(), ConnectionResetError | BrokenPipeError)
        assert transport.get_write_buffer_size() == 0


# Writing


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_bytes_like_object_can_be_written(
    loop: Loop, kind: Callable[[bytes], Any]
) -> None:
    async with connected(loop) as (transport, _, peer):
        assert transport.write(kind(b"hello ")) is None  # type: ignore[func-returns-value]
        transport.writelines([kind(b"wor"), kind(b"ld")])
        assert await receive_exactly(loop, peer, 11) == b"hello world"


@pytest.mark.parametrize("wrong", ["text", 5, None, [b"x"], object()])
async def test_nothing_else_can_be_written(loop: Loop, wrong: Any) -> None:
    async with connected(loop) as (transport, _, peer):
        name = type(wrong).__name__
        what = "a bytes-like object"
        if sys.version_info >= (3, 14):
            what = "a bytes, bytearray, or memoryview object"
        with pytest.raises(TypeError, match=rf"^data argument must be {what}, not '{name}'$"):
            transport.write(wrong)
        transport.write(b"still fine")
        assert await receive_exactly(loop, peer, 10) == b"still fine"


async def test_writing_nothing_sends_nothing(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        transport.write(b"")
        transport.write(memoryview(b""))
        transport.writelines([])
        assert transport.get_write_buffer_size() == 0
        transport.write(b"x")
        assert await loop.sock_recv(peer, 10) == b"x"


async def test_a_bytearray_may_change_after_it_was_written(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        small = bytearray(b"small")
        transport.write(small)
        small[:] = b"XXXXX"
        small += b"it may even grow"
        assert await receive_exactly(loop, peer, 5) == b"small"


async def test_many_small_writes_keep_their_order(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        pieces = [b"%05d" % number for number in range(10_000)]
        for piece in pieces:
            transport.write(piece)
        assert await receive_exactly(loop, peer, 50_000) == b"".join(pieces)


async def test_small_and_large_writes_keep_their_order(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        pieces = []
        for number in range(60):
            size = 100_000 if number % 3 == 0 else 7
            pieces.append(bytes([number]) * size)
        for number, piece in enumerate(pieces):
            if number % 5 == 4:
                transport.writelines([piece[:3], piece[3:]])
            else:
                transport.write(piece)
        expected = b"".join(pieces)
        assert await receive_exactly(loop, peer, len(expected)) == expected


async def test_writelines_takes_any_iterable_of_bytes_likes(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        pieces = [b"a", bytearray(b"bc"), memoryview(b"def"), b""]
        transport.writelines(pieces)
        transport.writelines(tuple(pieces))
        transport.writelines([b"%d" % number for number in range(3000)])
        expected = b"abcdef" * 2 + b"".join(b"%d" % number for number in range(3000))
        assert await receive_exactly(loop, peer, len(expected)) == expected


async def test_writelines_after_write_eof_raises(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _):
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"after write_eof\(\)$"):
            transport.writelines([b"more"])


async def test_writelines_rejects_text(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _):
        with pytest.raises(TypeError):
            transport.writelines(["text"])  # type: ignore[list-item]


async def test_what_is_written_before_the_loop_waits_reaches_the_peer(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        transport.write(b"one ")
        loop.call_soon(transport.write, b"two ")
        transport.write(b"three ")
        await turns(1)
        transport.write(b"four")
        assert await receive_exactly(loop, peer, 18) == b"one three two four"


def test_what_was_written_in_the_last_turn_of_a_run_is_sent(loop: Loop) -> None:
    with listening() as server:

        async def connect() -> tuple[asyncio.Transport, Recorder]:
            return await loop.create_connection(Recorder, *server.getsockname())

        transport, protocol = loop.run_until_complete(connect())
        peer, _ = server.accept()

    async def write() -> None:
        transport.write(b"last turn")

    with peer:
        peer.settimeout(10)
        loop.run_until_complete(write())
        assert peer.recv(100) == b"last turn"
        transport.write(b"at rest")
        loop.run_until_complete(turns(1))
        assert peer.recv(100) == b"at rest"
    transport.close()
    loop.run_until_complete(gone(transport, protocol))


async def test_writing_after_the_connection_is_lost_is_dropped_and_then_warned_of(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(loop) as (transport, protocol, _):
        transport.abort()
        await protocol.lost()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(4):
                transport.write(b"dropped")
            assert "socket.send() raised exception." not in caplog.text
            transport.write(b"dropped")
            assert caplog.text.count("socket.send() raised exception.") == 1
            transport.write(b"dropped")
            assert caplog.text.count("socket.send() raised exception.") == 2


# Odds and ends


async def test_a_transport_left_open_warns_when_collected(
    loop: Loop, nothing_left_behind: Ledger
) -> None:
    # The loop watches the transport's socket, so it is kept until reading is paused.
    with listening() as server:
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
        peer, _ = server.accept()
    peer.setblocking(False)
    await turns(2)
    transport.pause_reading()
    del transport
    lost = nothing_left_behind.take_lost_errors()
    assert any("ResourceWarning" in error and "unclosed transport <" in error for error in lost)
    with peer:
        assert await loop.sock_recv(peer, 1) == b""


async def test_an_idle_connection_nobody_holds_stays_open(loop: Loop) -> None:
    received = loop.create_future()

    class Quiet(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            received.set_result(data)
            self.transport.close()

    with listening() as server:
        await loop.create_connection(Quiet, *server.getsockname())
        peer, _ = server.accept()
    gc.collect()
    await turns(2)
    with peer:
        peer.send(b"alive")
        assert await received == b"alive"
    await turns(2)


async def test_repr_tells_the_state(loop: Loop) -> None:
    async with connected(loop) as (transport, protocol, _):
        number = transport.get_extra_info("socket").fileno()
        assert f"fd={number}" in repr(transport)
        assert "clos" not in repr(transport)
        transport.close()
        assert "closing" in repr(transport)
        await protocol.lost()
        await turns(1)
        assert "closed" in repr(transport)


async def test_transports_of_other_loops_cannot_disturb(loop: Loop) -> None:
    async with connected(loop) as (one, _, peer_of_one), connected(loop) as (two, _, peer_of_two):
        one.write(b"one")
        two.write(b"two")
        assert await receive_exactly(loop, peer_of_one, 3) == b"one"
        assert await receive_exactly(loop, peer_of_two, 3) == b"two"
