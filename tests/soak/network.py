"""Exchanges over the network: each opens what it needs, checks what it gets, and closes it all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any

from soak.house import House, ended


class Gatherer(asyncio.Protocol):
    """Collects what it receives, up to an expected size."""

    def __init__(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        self.size = size
        self.received = bytearray()
        self.complete = loop.create_future()
        self.lost = loop.create_future()

    def data_received(self, data: bytes) -> None:
        """Note the data."""
        self.received += data
        if len(self.received) >= self.size and not self.complete.done():
            self.complete.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        if not self.complete.done():
            self.complete.set_exception(exc or EOFError())
            self.complete.exception()
        self.lost.set_result(exc)


async def tcp(house: House) -> None:
    """A payload of any size there and back; some connections are torn down half-way."""
    loop = asyncio.get_running_loop()
    data = house.random.randbytes(2 ** house.random.randrange(18))
    transport, protocol = await loop.create_connection(lambda: Gatherer(len(data)), *house.tcp)
    transport.write(data)
    if house.random.random() < 0.1:
        await turns(house)
        transport.abort()
    else:
        await protocol.complete
        assert protocol.received == data, "another connection's bytes, or none"
        transport.close()
    await protocol.lost


async def streams(house: House) -> None:
    """Lines over a stream."""
    await talk(house, *await asyncio.open_connection(*house.lines))


async def unix(house: House) -> None:
    """Lines over a unix socket."""
    await talk(house, *await asyncio.open_unix_connection(house.unix))


async def tls(house: House) -> None:
    """Lines over TLS, from the beginning or from the middle on."""
    options: dict[str, Any] = {"ssl": house.client_tls, "server_hostname": "localhost"}
    if house.random.random() < 0.5:
        reader, writer = await asyncio.open_connection(*house.tls, **options)
    else:
        reader, writer = await asyncio.open_connection(*house.starttls)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"OK\n"
        await writer.start_tls(house.client_tls, server_hostname="localhost")
    await talk(house, reader, writer)


async def udp(house: House) -> None:
    """Datagrams, one at a time: the loopback interface loses none of them."""
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            answers.put_nowait(data)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=house.udp)
    try:
        for _ in range(5):
            data = house.random.randbytes(house.random.randrange(1, 2000))
            transport.sendto(data)
            assert await answers.get() == data, "another socket's datagram"
    finally:
        transport.close()


async def cancelled_connects(house: House) -> None:
    """Connections that somebody gives up, in any turn, to servers of every kind."""
    where = house.random.choice([house.tcp, house.tls, house.unreachable, "unix"])
    if where == "unix":
        connecting = asyncio.create_task(asyncio.open_unix_connection(house.unix))
    elif where == house.tls:
        connecting = asyncio.create_task(
            asyncio.open_connection(*where, ssl=house.client_tls, server_hostname="localhost")
        )
    else:
        connecting = asyncio.create_task(asyncio.open_connection(*where))
    await turns(house)
    connecting.cancel()
    try:
        _, writer = await connecting
    except asyncio.CancelledError:
        return
    await ended(writer)


async def timed_out_connects(house: House) -> None:
    """Connections that nobody answers."""
    try:
        async with asyncio.timeout(0.002):
            await asyncio.open_connection(*house.unreachable)
    except TimeoutError:
        return
    raise AssertionError("a full server has answered")


async def plain_sockets(house: House) -> None:
    """The loop's methods for sockets; some calls are cancelled, which loses nothing."""
    loop = asyncio.get_running_loop()
    data = house.random.randbytes(20_000)
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, house.tcp)
        early = asyncio.create_task(loop.sock_recv(sock, 100))
        await turns(house)
        early.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            raise AssertionError(f"received {await early!r} before anything was sent")
        await loop.sock_sendall(sock, data)
        received = bytearray()
        while len(received) < len(data):
            received += await loop.sock_recv(sock, 65536)
        assert received == data, "another socket's bytes"


async def files(house: House) -> None:
    """A file sent by the kernel."""
    loop = asyncio.get_running_loop()
    size = os.stat(__file__).st_size
    transport, protocol = await loop.create_connection(lambda: Gatherer(size), *house.tcp)
    with open(__file__, "rb") as file:
        assert await loop.sendfile(transport, file) == size
        await protocol.complete
        file.seek(0)
        assert protocol.received == file.read()
    transport.close()
    await protocol.lost


async def names(house: House) -> None:
    """The system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert {address[0] for *_, address in found} <= {"127.0.0.1", "::1"}


async def talk(house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a few lines and expect them back in upper case."""
    for _ in range(house.random.randrange(1, 6)):
        line = house.random.randbytes(house.random.randrange(1, 3000)).hex().encode() + b"\n"
        writer.write(line)
        assert await reader.readline() == line.upper(), "another connection's line, or none"
    writer.close()
    await writer.wait_closed()


async def turns(house: House) -> None:
    """Let the loop take a few turns, or none."""
    for _ in range(house.random.randrange(8)):
        await asyncio.sleep(0)


EXCHANGES = (
    tcp,
    streams,
    unix,
    tls,
    udp,
    cancelled_connects,
    timed_out_connects,
    plain_sockets,
    files,
    names,
)
