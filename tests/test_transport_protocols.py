"""Protocols of TCP transports that fail, and that are replaced."""

from __future__ import annotations

import socket

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import connected, turns
from support.protocols import BufferedRecorder, Recorder


class Failing(Recorder):
    """Raises in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.error = LookupError(method)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.method == "data_received":
            raise self.error

    def eof_received(self) -> None:
        super().eof_received()
        if self.method == "eof_received":
            raise self.error


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
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


async def test_a_failing_connection_lost_is_reported(loop: Loop, strays: Strays) -> None:
    class FailsAtTheEnd(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            raise LookupError("connection_lost")

    async with connected(loop, FailsAtTheEnd) as (transport, protocol, peer):
        transport.close()
        await protocol.lost()
        await turns(2)
        context = strays.take_one()
        assert isinstance(context["exception"], LookupError)
        assert await loop.sock_recv(peer, 1) == b""  # the socket is closed all the same


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_raised_by_a_protocol_leaves_the_run(
    loop: Loop, error: type[BaseException]
) -> None:
    class Leaves(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"leave":
                raise error("out")

    async def run() -> None:
        async with connected(loop, Leaves) as (_, protocol, peer):
            await loop.sock_sendall(peer, b"leave")
            await protocol.got(5)
            await loop.sock_sendall(peer, b"stay")
            assert await protocol.got(9) == b"leavestay"

    task = loop.create_task(run())
    with pytest.raises(error, match="out"):
        loop.run_until_complete(task)
    loop.run_until_complete(task)


async def test_the_protocol_can_be_replaced(loop: Loop) -> None:
    async with connected(loop) as (transport, first, peer):
        await loop.sock_sendall(peer, b"one")
        await first.got(3)
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        await loop.sock_sendall(peer, b"two")
        assert await second.got(3) == b"two"
        assert second.names() == ["data"]
        buffered = BufferedRecorder()
        transport.set_protocol(buffered)
        await loop.sock_sendall(peer, b"three")
        assert await buffered.got(5) == b"three"
        transport.set_protocol(first)
        await loop.sock_sendall(peer, b"four")
        assert await first.got(7) == b"onefour"


async def test_the_protocol_can_be_replaced_from_within(loop: Loop) -> None:
    second = Recorder()

    class HandsOver(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(second)

    async with connected(loop, HandsOver) as (_, first, peer):
        await loop.sock_sendall(peer, b"one")
        await first.got(3)
        await loop.sock_sendall(peer, b"two")
        assert await second.got(3) == b"two"
        peer.close()
        await second.lost()
        first.record("lost", None)  # what the helper waits for
