"""Transports where states meet: half-open and paused, drained and closed, lost and forgotten."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import warnings
from typing import Any

import pytest
from support.loops import STDLIB, Loop
from support.net import connected, receive_exactly, served, socket_pair, turns
from support.protocols import Recorder


async def test_a_half_open_connection_that_is_resumed_reports_its_end_again_and_rests(
    loop: Loop,
) -> None:
    async with connected(loop, lambda: Recorder(keep_open=True)) as (transport, protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        await protocol.happened("eof")
        transport.pause_reading()
        transport.resume_reading()
        await protocol.happened("eof", 2)
        assert "read=idle" in repr(transport)  # not polled: the loop does not spin


async def test_what_a_signal_handler_writes_before_it_raises_is_sent(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):

        def handler(*_: object) -> None:
            transport.write(b"bye")
            raise LookupError("from the handler")

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            with pytest.raises(LookupError):
                os.kill(os.getpid(), signal.SIGUSR1)
                await turns(1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert await receive_exactly(loop, peer, 3) == b"bye"


def test_what_a_signal_handler_writes_before_it_ends_the_run_is_sent(loop: Loop) -> None:
    left, right = socket.socketpair()
    right.settimeout(10)

    async def connect() -> asyncio.Transport:
        transport, _ = await loop.connect_accepted_socket(Recorder, left)
        return transport

    transport = loop.run_until_complete(connect())

    def handler(*_: object) -> None:
        transport.write(b"bye")
        raise SystemExit(3)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        # From a thread, so that it comes while the loop is parked, or about to be.
        loop.call_soon(loop.run_in_executor, None, os.kill, os.getpid(), signal.SIGUSR1)
        with pytest.raises(SystemExit):
            loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert right.recv(10) == b"bye"
    transport.close()
    right.close()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.run_until_complete(turns(2))


async def test_closing_in_resume_writing_ends_the_connection_once(
    loop: Loop, loop_kind: str
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard transport calls connection_lost twice, the second time in vain")

    class Closes(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.transport.close()

    async with connected(loop, Closes) as (transport, protocol, peer):
        transport.set_write_buffer_limits(0)
        transport.write(bytes(8_000_000))
        await receive_exactly(loop, peer, 8_000_000)
        await protocol.lost()
        await turns(3)
        assert protocol.names() == ["made", "pause", "resume", "lost"]


async def test_connections_do_not_see_what_the_factory_set_for_others(loop: Loop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def factory() -> Recorder:
        seen.append(variable.get())
        variable.set("set")
        return Recorder()

    async with served(loop, factory) as (_, address, protocols):
        for count in range(3):
            client, ended = await loop.create_connection(Recorder, *address)
            while len(protocols) <= count or not protocols[count].count("made"):
                await turns(1)
            client.close()
            await ended.lost()
            await protocols[count].lost()
    assert seen == ["unset"] * 3


async def test_what_is_no_protocol_fails_at_once(loop: Loop) -> None:
    async with served(loop) as (_, address, _protocols):
        with warnings.catch_warnings():
            # The socket is dropped with the call, as it is by the standard loop.
            warnings.simplefilter("ignore", ResourceWarning)
            with pytest.raises(AttributeError, match="connection_made"):
                await loop.create_connection(lambda: 5, *address)  # type: ignore[arg-type, return-value, type-var]
            gc.collect()
        await turns(3)


async def test_a_forgotten_transport_has_let_go_of_its_number(loop: Loop) -> None:
    kept: list[Any] = []

    class Keeps(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            transport.pause_reading()  # type: ignore[attr-defined]

        def __del__(self) -> None:
            kept.append(self.transport)

    with socket_pair():
        mine, other = socket.socketpair()
        with other:
            await loop.connect_accepted_socket(Keeps, mine)
            number = mine.fileno()
            del mine
            await turns(2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
            assert len(kept) == 1
        # Somebody else gets the number.
        stranger, strangers_peer = socket.socketpair()
        assert number in (stranger.fileno(), strangers_peer.fileno())
        stranger.setblocking(False)
        strangers_peer.setblocking(False)
        kept[0].write(b"secret")
        await turns(3)
        for sock in (stranger, strangers_peer):
            with pytest.raises(BlockingIOError):
                sock.recv(10)
        stranger.close()
        strangers_peer.close()
        kept.clear()


async def test_a_transport_takes_attributes(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _peer):
        transport.note = "kept"  # type: ignore[attr-defined]
        assert transport.note == "kept"  # type: ignore[attr-defined]
