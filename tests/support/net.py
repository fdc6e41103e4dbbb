"""Sockets and connections for tests, closed when the test is done with them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from support.loops import Loop
from support.protocols import Recorder, Watched


async def turns(count: int = 1) -> None:
    """Let the loop take so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def listening(host: str = "127.0.0.1", backlog: int = 16) -> Iterator[socket.socket]:
    """A blocking listening TCP socket on a free port.

    What it accepts has a small receive buffer of fixed size: left to itself the kernel lets it grow
    to 32 MiB, and a test that fills a connection would sometimes not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=backlog) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        yield server


@contextmanager
def socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking unix stream sockets."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@contextmanager
def tcp_socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking TCP sockets: the connecting one, the accepted one."""
    with listening() as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    with client, accepted:
        client.setblocking(False)
        accepted.setblocking(False)
        yield client, accepted


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def connected(
    loop: Loop, factory: Callable[[], Any] = Recorder
) -> AsyncIterator[tuple[asyncio.Transport, Any, socket.socket]]:
    """A transport with its protocol, and the plain non-blocking socket at the other end."""
    with listening() as server:
        transport, protocol = await loop.create_connection(factory, *server.getsockname())
        peer, _ = server.accept()
    peer.setblocking(False)
    with peer:
        try:
            yield transport, protocol, peer
        finally:
            await end(transport, protocol)


async def end(transport: asyncio.Transport, protocol: Watched) -> None:
    """Abort the connection unless it is lost already, and wait until its socket is closed."""
    if not protocol.count("lost"):
        transport.abort()
    await gone(transport, protocol)


async def gone(transport: asyncio.BaseTransport, protocol: Any) -> None:
    """Wait until a closing transport has let go of its socket."""
    if isinstance(protocol, Watched):
        await protocol.lost()
    # The socket is closed right after connection_lost returns, in the same callback.
    await turns(2)


@asynccontextmanager
async def served(
    loop: Loop, factory: Callable[[], Any] = Recorder, **options: Any
) -> AsyncIterator[tuple[asyncio.Server, tuple[str, int], list[Any]]]:
    """A server on 127.0.0.1 with its address, and the protocols of the connections it took."""
    protocols: list[Any] = []

    def make() -> Any:
        protocol = factory()
        protocols.append(protocol)
        return protocol

    server = await loop.create_server(make, "127.0.0.1", 0, **options)
    address = server.sockets[0].getsockname()
    try:
        yield server, address, protocols
    finally:
        server.close()
        for protocol in protocols:
            if isinstance(protocol, Watched) and protocol.transport is not None:
                await end(protocol.transport, protocol)
        await server.wait_closed()


async def receive_exactly(loop: Loop, sock: socket.socket, size: int) -> bytes:
    """Receive so many bytes from a non-blocking socket, fewer only at its end."""
    received = bytearray()
    while len(received) < size:
        data = await loop.sock_recv(sock, min(65536, size - len(received)))
        if not data:
            break
        received += data
    return bytes(received)


async def receive_all(loop: Loop, sock: socket.socket) -> bytes:
    """Receive from a non-blocking socket until its end."""
    received = bytearray()
    while data := await loop.sock_recv(sock, 65536):
        received += data
    return bytes(received)
