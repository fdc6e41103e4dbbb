"""TLS: what a transport tells of itself, contexts, own kinds of `ssl.SSLObject`, what is kept."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextvars
import gc
import socket
import ssl
import warnings
import weakref
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop, LoopFactory
from support.net import served, turns
from support.protocols import Echo, Recorder
from support.tls_peer import (
    VERSIONS,
    Buffered,
    TLSPeer,
    client_with_peer,
    send_pieces,
    server_with_peer,
    speaking,
)

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")

# What it tells


@both_versions
async def test_extra_information(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = speaking(certificates.client_context(), version)
    async with served(loop, Echo, ssl=certificates.server_context()) as (_, address, protocols):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=context, server_hostname="localhost"
        )
        tls = transport.get_extra_info("ssl_object")
        assert type(tls) is ssl.SSLObject
        assert tls.version() == {VERSIONS[0]: "TLSv1.2", VERSIONS[1]: "TLSv1.3"}[version]
        assert tls.context is transport.get_extra_info("sslcontext") is context
        assert transport.get_extra_info("peercert") == tls.getpeercert()
        assert transport.get_extra_info("cipher") == tls.cipher()
        assert transport.get_extra_info("compression") is None
        assert transport.get_extra_info("peername") == address
        sock = transport.get_extra_info("socket")
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert sock.getpeername() == address
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 5) == 5
        transport.write(b"echo")
        assert await protocol.got(4) == b"echo"
        theirs = protocols[0].transport
        assert theirs.get_extra_info("ssl_object").server_side
        assert theirs.get_extra_info("peercert") is None
        assert theirs.get_extra_info("peername") == sock.getsockname()
        transport.close()
        assert await protocol.lost() is None
        await turns(5)
        # What TLS has told stays known.
        assert transport.get_extra_info("ssl_object") is tls
        assert transport.get_extra_info("cipher") == tls.cipher()


async def test_kinds_and_states(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        assert protocol.transport is transport
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport._ssl_protocol, asyncio.sslproto.SSLProtocol)
        assert transport.get_protocol() is protocol
        assert "ssl" in type(transport).__name__.lower()
        assert transport.is_reading()
        assert not transport.is_closing()
        transport.pause_reading()
        assert not transport.is_reading()
        transport.resume_reading()
        assert transport.is_reading()
        transport.close()
        assert transport.is_closing()
        assert protocol.count("lost") == 0
        await peer.send(peer.goodbye())
        assert await protocol.lost() is None
        assert transport.is_closing()
        assert "ssl" in type(transport).__name__.lower()


@both_versions
@pytest.mark.parametrize("factory", [Recorder, Buffered])
async def test_the_ssl_object_may_be_asked_in_the_midst_of_data(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion, factory: Any
) -> None:
    async with client_with_peer(loop, certificates, factory, version=version) as (
        transport,
        protocol,
        peer,
    ):
        tls = transport.get_extra_info("ssl_object")
        for _ in range(3):
            await send_pieces(peer, transport, [peer.record(b"data")])
            assert tls.pending() == 0
            assert tls.selected_alpn_protocol() is None
            assert tls.get_channel_binding("tls-unique")
            assert tls.server_hostname == "localhost"
        assert protocol.received == b"datadatadata"


async def test_keys_may_be_logged(loop: Loop, certificates: Certificates, tmp_path: Any) -> None:
    context = certificates.client_context()
    context.keylog_filename = str(tmp_path / "keys")
    async with client_with_peer(loop, certificates, context=context) as (_, protocol, peer):
        await peer.send(peer.record(b"secret"))
        assert await protocol.got(6) == b"secret"
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys").read_text()


class Spying(ssl.SSLObject):
    """Notes what is read and written."""

    @property
    def seen(self) -> list[tuple[str, bytes]]:
        seen: list[tuple[str, bytes]] = self.__dict__.setdefault("notes", [])
        return seen

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        result = super().read(len, buffer)
        if buffer is None:
            self.seen.append(("read", result))
            return result.swapcase()
        self.seen.append(("read", bytes(buffer[:result])))
        return result

    def write(self, data: Any) -> int:
        self.seen.append(("write", bytes(data)))
        return super().write(data)


@pytest.mark.parametrize("factory", [Recorder, Buffered])
async def test_methods_of_a_subclass_of_ssl_object_are_called(
    loop: Loop, certificates: Certificates, factory: Any
) -> None:
    context = certificates.client_context()
    context.sslobject_class = Spying
    async with client_with_peer(loop, certificates, factory, context=context) as (
        transport,
        protocol,
        peer,
    ):
        tls = transport.get_extra_info("ssl_object")
        assert type(tls) is Spying
        await peer.send(peer.record(b"to us"))
        await protocol.got(5)
        transport.write(b"to them")
        assert await peer.receive(7) == b"to them"
        assert tls.seen == [("read", b"to us"), ("write", b"to them")]
        assert protocol.received == (b"TO US" if factory is Recorder else b"to us")


async def test_methods_of_a_subclass_of_ssl_object_may_fail(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    class Failing(ssl.SSLObject):
        def write(self, data: Any) -> int:
            raise error

    error = LookupError()
    context = certificates.client_context()
    context.sslobject_class = Failing
    async with client_with_peer(loop, certificates, context=context) as (transport, protocol, _):
        transport.write(b"x")
        assert await protocol.lost() is error
        context_of_it = strays.take_one()
        assert context_of_it["exception"] is error
        assert context_of_it["message"] == "Fatal error on SSL protocol"


# Contexts


class Noting(Recorder):
    """Notes what a context variable is in each call, and sets it in the calls for data."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    def record(self, *event: Any) -> None:
        self.seen.append((event[0], name.get()))
        super().record(*event)


async def test_a_protocol_is_called_in_the_context_that_made_the_connection(
    loop: Loop, certificates: Certificates
) -> None:
    name.set("at the start")
    async with client_with_peer(loop, certificates, Noting) as (transport, protocol, peer):
        name.set("later")
        await send_pieces(peer, transport, [peer.record(b"x")])
        await peer.send(peer.record(b"y") + peer.goodbye())
        await protocol.lost()
        assert protocol.seen == [
            ("made", "at the start"),
            ("data", "at the start"),
            ("data", "at the start"),
            ("eof", "at the start"),
            ("lost", "at the start"),
        ]


async def test_what_waited_is_delivered_in_the_context_that_resumed(
    loop: Loop, certificates: Certificates
) -> None:
    name.set("at the start")
    async with client_with_peer(loop, certificates, Noting) as (transport, protocol, peer):
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"x")])
        name.set("resumed")
        transport.resume_reading()
        name.set("later")
        await protocol.got(1)
        await send_pieces(peer, transport, [peer.record(b"y")])
        assert protocol.seen == [
            ("made", "at the start"),
            ("data", "resumed"),
            ("data", "at the start"),
        ]


async def test_a_context_is_kept_from_call_to_call(loop: Loop, certificates: Certificates) -> None:
    class Counting(Noting):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            name.set(f"set with {data.decode()}")

    name.set("at the start")
    async with client_with_peer(loop, certificates, Counting) as (transport, protocol, peer):
        for data in (b"1", b"2", b"3"):
            await send_pieces(peer, transport, [peer.record(data)])
        assert [seen for event, seen in protocol.seen if event == "data"] == [
            "at the start",
            "set with 1",
            "set with 2",
        ]
        assert name.get() == "at the start"


# What is kept


@pytest.mark.parametrize("factory", [Recorder, Buffered])
@pytest.mark.parametrize("sides", [client_with_peer, server_with_peer])
@pytest.mark.parametrize("end", ["close", "abort", "goodbye", "failure", "paused"])
async def test_nothing_is_kept_of_a_connection_that_is_over(
    loop: Loop, certificates: Certificates, strays: Strays, factory: Any, sides: Any, end: str
) -> None:
    async def use() -> list[weakref.ref[Any]]:
        async with sides(loop, certificates, factory) as (transport, protocol, peer):
            transport.write(b"written")
            assert await peer.receive(7) == b"written"
            await send_pieces(peer, transport, [peer.record(b"read")])
            tls = transport._ssl_protocol
            left = [weakref.ref(kept) for kept in (transport, protocol, tls, tls._transport)]
            if end == "close":
                transport.close()
                await peer.send(peer.goodbye())
            elif end == "abort":
                transport.abort()
            elif end == "goodbye":
                await peer.send(peer.record(b"more") + peer.goodbye())
            elif end == "failure":
                transport.writelines(["text"])
                assert isinstance(strays.take_one()["exception"], TypeError)
            else:
                transport.pause_reading()
                await send_pieces(peer, transport, [peer.record(b"never read")])
                transport.abort()
            await protocol.lost()
            return left

    left = await use()
    await turns(5)
    gc.collect()
    assert [reference() for reference in left] == [None] * 4


async def test_a_connection_that_nobody_holds_goes_on(
    loop: Loop, certificates: Certificates
) -> None:
    received = loop.create_future()

    class Forgotten(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.set_result(data)

        def eof_received(self) -> None:
            pass

        def connection_lost(self, exc: Exception | None) -> None:
            ended.set_result(exc)

    ended = loop.create_future()
    ours, theirs = socket.socketpair()
    with theirs:
        peer = TLSPeer(loop, theirs, certificates.client_context(), server_hostname="localhost")
        accepting = loop.create_task(
            loop.connect_accepted_socket(Forgotten, ours, ssl=certificates.server_context())
        )
        await peer.handshake()
        await peer.send()
        await accepting
        del ours, accepting
        await turns(3)
        gc.collect()
        await peer.send(peer.record(b"still there?"))
        assert await received == b"still there?"
        await peer.send(peer.goodbye())
        assert await ended is None
        await turns(5)


def test_a_connection_left_open_when_its_loop_closes_warns(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    loop = loop_factory()

    async def forget(theirs: socket.socket, ours: socket.socket) -> None:
        peer = TLSPeer(loop, theirs, certificates.client_context(), server_hostname="localhost")
        accepting = loop.create_task(
            loop.connect_accepted_socket(Recorder, ours, ssl=certificates.server_context())
        )
        await peer.handshake()
        await peer.send(peer.record(b"x"))
        _, protocol = await accepting
        await protocol.got(1)

    ours, theirs = socket.socketpair()
    with theirs, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(forget(theirs, ours))
        loop.close()
        del ours
        gc.collect()
    assert {warning.category for warning in caught} == {ResourceWarning}
    begins = sorted(str(warning.message).partition("<")[0] for warning in caught)
    # The socket, the transport of TLS and the one below.
    assert begins == ["unclosed ", "unclosed transport ", "unclosed transport "]
