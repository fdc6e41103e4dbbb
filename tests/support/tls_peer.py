"""The other side of a TLS connection, driven by hand: what it sends is cut where a test likes."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from support.certificates import Certificates
from support.loops import Loop
from support.net import turns
from support.protocols import BufferedRecorder, Recorder

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
"""The versions of TLS that are in use."""


class Buffered(BufferedRecorder):
    """Gives a view of its buffer: asyncio fills copies of slices of a bytearray."""

    view_of: Any = memoryview

    def get_buffer(self, sizehint: int) -> Any:
        return self.view_of(super().get_buffer(sizehint))


class TLSPeer:
    """A socket and an `ssl.SSLObject`: it does what it is told, and nothing by itself."""

    def __init__(
        self, loop: Loop, sock: socket.socket, context: ssl.SSLContext, **side: Any
    ) -> None:
        self.loop = loop
        self.sock = sock
        sock.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **side)

    async def take(self) -> bool:
        """Receive something; whether there was anything, and not the end."""
        data = await self.loop.sock_recv(self.sock, 65536)
        self.incoming.write(data)
        return bool(data)

    async def send(self, encrypted: bytes = b"") -> None:
        """Send what the SSL object wants to say, and then more, as one piece."""
        await self.loop.sock_sendall(self.sock, self.outgoing.read() + encrypted)

    async def handshake(self) -> None:
        """Shake hands; what is said last is not sent yet."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.send()
                assert await self.take(), "hung up in the handshake"
            else:
                return

    def record(self, data: bytes) -> bytes:
        """Encrypt; the records for it."""
        self.tls.write(data)
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """The record that says that nothing follows."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    async def is_answered(self) -> None:
        """Wait until the other side has said goodbye, too."""
        while True:
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                assert await self.take(), "hung up without a goodbye"
            else:
                return

    async def receive(self, size: int) -> bytes:
        """Receive so many bytes, fewer only if the other side says that nothing follows."""
        received = bytearray()
        while len(received) < size:
            try:
                data = self.tls.read(min(65536, size - len(received)))
            except ssl.SSLWantReadError:
                await self.send()
                assert await self.take(), "hung up without a goodbye"
                continue
            if not data:
                break
            received += data
        return bytes(received)


def speaking(
    context: ssl.SSLContext, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """The context, which speaks only one version of TLS from now on."""
    context.minimum_version = context.maximum_version = version
    return context


def unread(transport: asyncio.BaseTransport) -> int:
    """How many bytes wait in the kernel for the transport to receive them."""
    answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
    waiting: int = struct.unpack("i", answer)[0]
    return waiting


async def taken(transport: asyncio.BaseTransport) -> None:
    """Wait until the transport has received all that was sent to it, and dealt with it."""
    while unread(transport):
        await turns(1)
    await turns(3)


async def send_pieces(
    peer: TLSPeer, transport: asyncio.BaseTransport, pieces: Iterable[bytes]
) -> None:
    """Send pieces that the transport receives one by one."""
    for piece in pieces:
        await peer.send(piece)
        while unread(transport):
            await turns(1)
    await turns(3)


@asynccontextmanager
async def client_with_peer(
    loop: Loop,
    certificates: Certificates,
    factory: Callable[[], Any] = Recorder,
    *,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    context: ssl.SSLContext | None = None,
    peer_context: ssl.SSLContext | None = None,
    settled: bool = True,
    **options: Any,
) -> AsyncIterator[tuple[Any, Any, TLSPeer]]:
    """A client's transport and protocol, and the peer that is its server.

    Unless it is ``settled``, the peer keeps what it has to say after the handshake, as the session
    tickets of TLS 1.3, until it sends the next time.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        peer = TLSPeer(
            loop,
            theirs,
            speaking(peer_context or certificates.server_context(), version),
            server_side=True,
        )
        connecting = loop.create_task(
            loop.create_connection(
                factory,
                sock=ours,
                ssl=context or certificates.client_context(),
                server_hostname="localhost",
                **options,
            )
        )
        await peer.handshake()
        if settled or version == ssl.TLSVersion.TLSv1_2:
            await peer.send()
        transport, protocol = await connecting
        if settled:
            await taken(transport)
        yield transport, protocol, peer
        await ended(transport)


@asynccontextmanager
async def server_with_peer(
    loop: Loop,
    certificates: Certificates,
    factory: Callable[[], Any] = Recorder,
    *,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    then: Callable[[TLSPeer], bytes] = lambda peer: b"",
) -> AsyncIterator[tuple[Any, Any, TLSPeer]]:
    """A server's transport and protocol, and the peer that is its client.

    What ``then`` returns is sent in one piece with the last of the handshake, which is the
    client's in TLS 1.3.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        peer = TLSPeer(
            loop,
            theirs,
            speaking(certificates.client_context(), version),
            server_hostname="localhost",
        )
        accepting = loop.create_task(
            loop.connect_accepted_socket(factory, ours, ssl=certificates.server_context())
        )
        await peer.handshake()
        last = peer.outgoing.read()
        await peer.send(last + then(peer))
        transport, protocol = await accepting
        yield transport, protocol, peer
        await ended(transport)


async def ended(transport: Any) -> None:
    """Abort the connection unless it is lost already, and let go of the socket."""
    protocol = transport.get_protocol()
    if protocol is not None:
        transport.abort()
        await protocol.lost()
    await turns(5)


def data_of(protocol: Any) -> list[bytes]:
    """What each call for data brought."""
    return [event[1] for event in protocol.events if event[0] == "data"]
