"""TLS that does not come to a good end, or takes too long for it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop
from support.net import listening, turns
from support.protocols import Echo, Recorder

SOON = 0.05
"""Seconds of a timeout that is to be seen."""


class Peer:
    """The other side of a TLS connection: it does what it is told, and nothing by itself."""

    def __init__(self, loop: Loop, sock: socket.socket, context: ssl.SSLContext, **side: Any):
        self.loop = loop
        self.sock = sock
        sock.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **side)

    async def do(self, step: Any, *arguments: Any) -> Any:
        """Take a step of an `ssl.SSLObject`, with all the sending and receiving it needs."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                result = None
            await self.loop.sock_sendall(self.sock, self.outgoing.read())
            if result is not None or (step == self.tls.do_handshake and self.tls.version()):
                return result
            self.incoming.write(await self.loop.sock_recv(self.sock, 65536))


@asynccontextmanager
async def with_peer(
    loop: Loop, certificates: Certificates, **options: float
) -> AsyncIterator[tuple[asyncio.Transport, Recorder, Peer]]:
    """A client's transport, and the peer that has shaken hands with it."""
    ours, theirs = socket.socketpair()
    with theirs:
        peer = Peer(loop, theirs, certificates.server_context(), server_side=True)
        (transport, protocol), _ = await asyncio.gather(
            loop.create_connection(
                Recorder,
                sock=ours,
                ssl=certificates.client_context(),
                server_hostname="localhost",
                **options,
            ),
            peer.do(peer.tls.do_handshake),
        )
        yield transport, protocol, peer
        if not protocol.count("lost"):
            transport.abort()
            await protocol.lost()
        await turns(5)


async def test_a_close_that_is_answered(loop: Loop, certificates: Certificates) -> None:
    async with with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(b"last words")
        transport.close()
        assert await peer.do(peer.tls.read, 100) == b"last words"
        assert await peer.do(peer.tls.read, 100) == b""
        peer.tls.unwrap()
        await loop.sock_sendall(peer.sock, peer.outgoing.read())
        assert await protocol.lost() is None


async def test_a_close_that_is_never_answered_times_out(
    loop: Loop, certificates: Certificates
) -> None:
    async with with_peer(loop, certificates, ssl_shutdown_timeout=SOON) as (transport, protocol, _):
        transport.close()
        assert transport.is_closing()
        error = await protocol.lost()
        assert isinstance(error, TimeoutError)
        assert "SSL shutdown timed out" in str(error)


async def test_what_a_peer_does_not_take_times_out_too(
    loop: Loop, certificates: Certificates
) -> None:
    async with with_peer(loop, certificates, ssl_shutdown_timeout=SOON) as (transport, protocol, _):
        transport.write(bytes(3_000_000))
        transport.close()
        assert isinstance(await protocol.lost(), TimeoutError)


async def test_a_close_that_is_answered_by_the_end_of_the_connection(
    loop: Loop, certificates: Certificates
) -> None:
    async with with_peer(loop, certificates) as (transport, protocol, peer):
        transport.close()
        assert await loop.sock_recv(peer.sock, 100)  # the alert
        peer.sock.close()
        assert await protocol.lost() is None


async def test_an_end_that_nobody_announced(loop: Loop, certificates: Certificates) -> None:
    """An end without a close alert may be an attack that cuts a message short, or a hurry."""
    async with with_peer(loop, certificates) as (transport, protocol, peer):
        peer.sock.close()
        assert await protocol.lost() is None
        assert transport.is_closing()


async def test_a_record_that_was_tampered_with(loop: Loop, certificates: Certificates) -> None:
    async with with_peer(loop, certificates) as (_, protocol, peer):
        peer.tls.write(b"secret")
        record = bytearray(peer.outgoing.read())
        record[-1] ^= 1
        await loop.sock_sendall(peer.sock, record)
        error = await protocol.lost()
        assert isinstance(error, ssl.SSLError)
        assert protocol.received == b""


async def test_an_abort_waits_for_nobody(loop: Loop, certificates: Certificates) -> None:
    async with with_peer(loop, certificates) as (transport, protocol, _):
        transport.write(bytes(3_000_000))
        transport.abort()
        assert await protocol.lost() is None
        assert transport.get_write_buffer_size() == 0


@pytest.fixture
def silent() -> Any:
    """A connected socket whose peer says nothing."""
    with listening() as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        yield accepted
        accepted.close()


async def test_a_client_that_never_shakes_hands_is_dropped(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(
        factory, "127.0.0.1", 0, ssl=certificates.server_context(), ssl_handshake_timeout=SOON
    )
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        client.setblocking(False)
        assert await loop.sock_recv(client, 1) == b""
        server.close()
        await server.wait_closed()
        await turns(5)
    assert [protocol.names() for protocol in protocols] == [[]]
    for context in strays.take():  # in debug mode only
        assert isinstance(context["exception"], ConnectionAbortedError)
        assert context["message"] == "Error on transport creation for incoming connection"


async def test_an_accepted_socket_as_server(loop: Loop, certificates: Certificates) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        peer = Peer(loop, theirs, certificates.client_context(), server_hostname="localhost")
        (transport, protocol), _ = await asyncio.gather(
            loop.connect_accepted_socket(Echo, ours, ssl=certificates.server_context()),
            peer.do(peer.tls.do_handshake),
        )
        assert protocol.names() == ["made"]
        assert transport.get_extra_info("ssl_object").server_side
        peer.tls.write(b"echo me")
        assert await peer.do(peer.tls.read, 100) == b"echo me"
        transport.close()
        assert await peer.do(peer.tls.read, 100) == b""
        peer.tls.unwrap()
        await loop.sock_sendall(theirs, peer.outgoing.read())
        assert await protocol.lost() is None
        await turns(5)


async def test_an_accepted_socket_whose_peer_never_shakes_hands(
    loop: Loop, certificates: Certificates, silent: socket.socket
) -> None:
    with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
        await loop.connect_accepted_socket(
            Recorder, silent, ssl=certificates.server_context(), ssl_handshake_timeout=SOON
        )
    await turns(5)
    assert silent.fileno() == -1


async def test_an_accepted_socket_whose_peer_speaks_something_else(
    loop: Loop, certificates: Certificates
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError, match="HTTP_REQUEST"):
            await loop.connect_accepted_socket(Recorder, ours, ssl=certificates.server_context())
        await turns(5)


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("method", ["connection", "accepted", "server"])
async def test_timeouts_without_tls_are_refused(
    loop: Loop, method: str, name: str, silent: socket.socket
) -> None:
    calls: dict[str, Any] = {
        "connection": lambda **given: loop.create_connection(Recorder, sock=silent, **given),
        "accepted": lambda **given: loop.connect_accepted_socket(Recorder, silent, **given),
        "server": lambda **given: loop.create_server(Recorder, sock=silent, **given),
    }
    with pytest.raises(ValueError, match=f"{name} is only meaningful with ssl"):
        await calls[method](**{name: 1.0})


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("wrong", [0, -1])
async def test_timeouts_that_make_no_sense_are_refused(
    loop: Loop, certificates: Certificates, name: str, wrong: int, silent: socket.socket
) -> None:
    with pytest.raises(ValueError, match=f"{name} should be a positive number, got {wrong}"):
        await loop.connect_accepted_socket(
            Recorder, silent, ssl=certificates.server_context(), **{name: wrong}
        )
    await turns(3)


async def test_a_client_must_show_a_certificate_if_the_server_wants_one(
    loop: Loop, certificates: Certificates
) -> None:
    demanding = certificates.server_context()
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_verify_locations(str(certificates.authority))
    known = certificates.client_context()
    known.load_cert_chain(str(certificates.certificate))
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=demanding)
    address = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(
        Recorder, *address, ssl=known, server_hostname="localhost"
    )
    transport.write(b"let in")
    assert await protocol.got(6) == b"let in"
    transport.close()
    assert await protocol.lost() is None
    loop.set_debug(False)
    # With TLS 1.3 a client learns that it is refused when it is connected already.
    transport, protocol = await loop.create_connection(
        Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
    )
    transport.write(b"let in")
    await protocol.lost()
    assert protocol.received == b""
    server.close()
    await server.wait_closed()
    await turns(5)
