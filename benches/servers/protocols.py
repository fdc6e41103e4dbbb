"""Echo by transports and protocols: TCP, TLS, unix sockets, datagrams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

BACKLOG = 4096
BUFFER = 256 * 1024


class Echo(asyncio.Protocol):
    """Writes back what it gets."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    """Has the transport receive into a buffer of its own, and writes back what is there."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def get_buffer(self, _: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.buffer[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends each datagram back to where it came from."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def tcp() -> str:
    """Serve TCP."""
    return await _serve(Echo)


async def buffered() -> str:
    """Serve TCP with a buffer of the protocol's own."""
    return await _serve(BufferedEcho)


async def tls(certificate: str) -> str:
    """Serve TLS; ``certificate`` is a PEM file with the key."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return await _serve(Echo, context)


async def unix(path: str) -> str:
    """Serve a unix socket."""
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(Echo, path, backlog=BACKLOG)
    return f"unix:{path}"


async def udp() -> str:
    """Answer datagrams."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", 0))
    return _address(transport.get_extra_info("sockname"))


async def _serve(protocol: type[Echo | BufferedEcho], context: ssl.SSLContext | None = None) -> str:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG, ssl=context)
    return _address(server.sockets[0].getsockname())


def _address(name: tuple[str, int]) -> str:
    return f"{name[0]}:{name[1]}"
