"""TLS: protocols that close, abort or fail when they are called."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop
from support.protocols import Recorder
from support.tls_peer import (
    Buffered,
    client_with_peer,
    send_pieces,
    server_with_peer,
)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_close_in_data_received(
    loop: Loop, certificates: Certificates, goodbye: bool
) -> None:
    class Closing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"answer")
            self.transport.close()
            assert self.transport.is_closing()

    async with client_with_peer(loop, certificates, Closing) as (_, protocol, peer):
        encrypted = peer.record(b"one ") + peer.record(b"two")
        await peer.send(encrypted + (peer.goodbye() if goodbye else b""))
        assert await peer.receive(6) == b"answer"
        if not goodbye:
            assert await peer.receive(1) == b""
            await peer.send(peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.events == [("made",), ("data", b"one two"), ("eof",), ("lost", None)]


async def test_an_abort_in_data_received(loop: Loop, certificates: Certificates) -> None:
    class Aborting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.abort()
            self.transport.write(b"dropped")

    async with client_with_peer(loop, certificates, Aborting) as (transport, protocol, peer):
        await peer.send(peer.record(b"x") + peer.record(b"y"))
        await peer.send(peer.record(b"z")[:10])
        assert await protocol.lost() is None
        assert protocol.events == [("made",), ("data", b"xy"), ("lost", None)]
        assert transport.is_closing()


@pytest.mark.parametrize("method", ["close", "abort"])
async def test_a_buffered_protocol_that_ends_the_connection_in_the_middle_of_a_record(
    loop: Loop, certificates: Certificates, method: str
) -> None:
    """After a close more may be delivered, in the right order; after an abort nothing."""

    class Ending(Buffered):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            if self.count("data") == 1:
                getattr(self.transport, method)()

    data = os.urandom(5_000)
    async with client_with_peer(loop, certificates, Ending) as (_, protocol, peer):
        await peer.send(peer.record(data))
        error = await protocol.lost()
        assert error is None or (method == "close" and isinstance(error, ssl.SSLError))
        assert len(protocol.received) >= 1024
        assert data.startswith(bytes(protocol.received))
        if method == "abort":
            assert protocol.names() == ["made", "data", "lost"]


@pytest.mark.parametrize("method", ["close", "abort"])
async def test_an_end_right_when_connected(
    loop: Loop, certificates: Certificates, method: str
) -> None:
    class Ending(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            getattr(transport, method)()

    async with server_with_peer(loop, certificates, Ending) as (_, protocol, peer):
        if method == "close":
            assert await peer.receive(1) == b""
            await peer.send(peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.names()[0] == "made"
        assert protocol.count("data") == 0


async def test_an_end_in_eof_received(loop: Loop, certificates: Certificates) -> None:
    class Closing(Recorder):
        def eof_received(self) -> None:
            super().eof_received()
            self.transport.close()

    async with client_with_peer(loop, certificates, Closing) as (_, protocol, peer):
        await peer.send(peer.record(b"x") + peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "data", "eof", "lost"]


async def test_a_connection_cannot_be_kept_open_after_the_end(
    loop: Loop, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_with_peer(loop, certificates, lambda: Recorder(keep_open=True)) as (
        _,
        protocol,
        peer,
    ):
        await peer.send(peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "eof", "lost"]
        assert caplog.messages == [
            "returning true from eof_received() has no effect when using ssl"
        ]


class Failure(Exception):
    pass


class BaseFailure(BaseException):
    pass


class Failing:
    """Raises in its methods for data, and counts how often."""

    error: BaseException
    failures = 0

    def data_received(self, data: bytes) -> None:
        self.failures += 1
        raise self.error

    def buffer_updated(self, nbytes: int) -> None:
        self.failures += 1
        raise self.error


class FailingRecorder(Failing, Recorder):
    pass


class FailingBuffered(Failing, Buffered):
    pass


class FailingToGiveABuffer(Failing, Buffered):
    def get_buffer(self, sizehint: int) -> Any:
        if not hasattr(self, "error"):
            return super().get_buffer(sizehint)
        self.failures += 1
        raise self.error


@pytest.mark.parametrize("factory", [FailingRecorder, FailingBuffered, FailingToGiveABuffer])
async def test_a_protocol_that_fails_loses_its_connection(
    loop: Loop, certificates: Certificates, strays: Strays, factory: type[Any]
) -> None:
    async with client_with_peer(loop, certificates, factory) as (transport, protocol, peer):
        protocol.error = Failure()
        tls = transport._ssl_protocol
        await peer.send(peer.record(bytes(500)) + peer.goodbye())
        assert await protocol.lost() is protocol.error
        assert protocol.failures == 1
        assert protocol.names() == ["made", "lost"]
        context = strays.take_one()
        assert context["message"] == "Fatal error on SSL protocol"
        assert context["exception"] is protocol.error
        assert context["protocol"] is tls
        assert isinstance(context["transport"], asyncio.Transport)
        assert context["transport"] is not transport  # it is the one below


@pytest.mark.parametrize("factory", [FailingRecorder, FailingBuffered, FailingToGiveABuffer])
async def test_an_oserror_of_a_protocol_is_only_told_to_itself(
    loop: Loop, certificates: Certificates, factory: type[Any]
) -> None:
    async with client_with_peer(loop, certificates, factory) as (_, protocol, peer):
        protocol.error = BrokenPipeError()
        await peer.send(peer.record(b"x"))
        assert await protocol.lost() is protocol.error
        assert protocol.failures == 1


@pytest.mark.parametrize("factory", [FailingRecorder, FailingBuffered, FailingToGiveABuffer])
async def test_a_protocol_that_fails_badly_loses_its_connection(
    loop: Loop, certificates: Certificates, strays: Strays, factory: type[Any]
) -> None:
    async with client_with_peer(loop, certificates, factory) as (transport, protocol, peer):
        protocol.error = BaseFailure()
        await peer.send(peer.record(b"x"))
        assert await protocol.lost() is protocol.error
        assert protocol.failures == 1
        context = strays.take_one()
        assert context["message"] == "Fatal error: protocol.buffer_updated() call failed."
        assert context["exception"] is protocol.error
        assert transport.is_closing()


async def test_a_protocol_that_fails_with_what_waited_loses_its_connection(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    async with client_with_peer(loop, certificates, FailingRecorder) as (transport, protocol, peer):
        protocol.error = Failure()
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"waits")])
        transport.resume_reading()
        assert await protocol.lost() is protocol.error
        assert strays.take_one()["message"] == "Fatal error on SSL protocol"


async def test_a_protocol_that_fails_at_the_end(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    class FailingAtTheEnd(Recorder):
        def eof_received(self) -> None:
            super().eof_received()
            raise error

    error = Failure()
    async with client_with_peer(loop, certificates, FailingAtTheEnd) as (_, protocol, peer):
        await peer.send(peer.record(b"x") + peer.goodbye())
        assert await protocol.lost() is error
        assert protocol.names() == ["made", "data", "eof", "lost"]
        context = strays.take_one()
        assert context["message"] == "Error calling eof_received()"
        assert context["exception"] is error


@pytest.mark.parametrize("wrong", [None, 5, "text", b"read-only"])
async def test_what_is_no_writable_buffer_is_fatal(
    loop: Loop, certificates: Certificates, strays: Strays, wrong: object
) -> None:
    async with client_with_peer(loop, certificates, Buffered) as (_, protocol, peer):
        protocol.view_of = lambda buffer: wrong
        await peer.send(peer.record(b"x"))
        error = await protocol.lost()
        assert type(error) is TypeError
        context = strays.take_one()
        assert context["message"] == "Fatal error on SSL protocol"
        assert context["exception"] is error


async def test_a_buffer_without_room_loses_the_connection(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    """It is taken for the end on asyncio, which is surprised by what follows."""
    async with client_with_peer(loop, certificates, Buffered) as (_, protocol, peer):
        protocol.view_of = lambda buffer: memoryview(bytearray())
        await peer.send(peer.record(b"x"))
        assert isinstance(await protocol.lost(), Exception)
        assert protocol.count("data") == 0
        strays.take()


@pytest.mark.parametrize("error", [OSError("the network's"), LookupError("from the protocol")])
async def test_the_error_of_a_protocol_is_the_handled_one_while_it_is_reported(
    loop: Loop, certificates: Certificates, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """An OSError is only logged, in debug mode; anything else the exception handler gets."""

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise error

    seen: list[BaseException | None] = []
    loop.set_exception_handler(lambda loop, context: seen.append(sys.exc_info()[1]))
    caplog.set_level(logging.DEBUG, logger="asyncio")
    loop.set_debug(True)
    async with client_with_peer(loop, certificates, Failing) as (_, protocol, peer):
        await peer.send(peer.record(b"x"))
        assert await protocol.lost() is error
    for record in caplog.records:
        if "Fatal error on SSL protocol" in record.getMessage():
            assert record.exc_info
            seen.append(record.exc_info[1])
    assert seen == [error]
    caplog.clear()
