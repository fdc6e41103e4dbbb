"""What a server's connection says of its socket, whenever it is asked first."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from support.loops import Loop
from support.net import served, turns
from support.protocols import Recorder

NAMES = ("socket", "sockname", "peername")


class Echo(Recorder):
    """Sends back what it gets, and asks nothing."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


async def connected(
    loop: Loop, address: tuple[str, int], protocols: list[Echo]
) -> tuple[socket.socket, Echo]:
    """A client, and the server's end of its connection, which has been used."""
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, address)
    await exchanged(loop, client)
    return client, protocols[-1]


async def exchanged(loop: Loop, client: socket.socket) -> None:
    await loop.sock_sendall(client, b"ping")
    assert await loop.sock_recv(client, 4) == b"ping"


@pytest.mark.parametrize("first", NAMES)
async def test_a_used_connection_tells_its_socket_and_addresses(loop: Loop, first: str) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        client, protocol = await connected(loop, address, protocols)
        info = protocol.transport.get_extra_info
        assert info(first) is info(first) is not None
        sock = info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.gettimeout() == 0
        assert sock.getpeername() == info("peername") == client.getsockname()
        assert sock.getsockname() == info("sockname") == address
        assert info("no such", "default") == "default"
        await exchanged(loop, client)
        client.close()
        await protocol.lost()
        await turns(1)
        assert sock.fileno() == -1


async def test_other_names_are_nobodys_whatever_they_are(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        client, protocol = await connected(loop, address, protocols)
        info = protocol.transport.get_extra_info
        for name in ("\udcff", "", "socket\0", b"socket", 1.5, None):
            assert info(name) is None
            assert info(name, "default") == "default"
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            info([])
        client.close()


@pytest.mark.parametrize("first", NAMES)
async def test_a_lost_connection_still_tells_them(loop: Loop, first: str) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        client, protocol = await connected(loop, address, protocols)
        name = client.getsockname()
        transport = protocol.transport
        client.close()
        await protocol.lost()
        await turns(1)
        assert transport.get_extra_info(first) is not None
        assert transport.get_extra_info("peername") == name
        assert transport.get_extra_info("sockname") == address
        sock = transport.get_extra_info("socket")
        assert (sock.fileno(), sock.family, sock.type) == (-1, socket.AF_INET, socket.SOCK_STREAM)
        assert "closed" in repr(transport)


async def test_they_can_be_asked_for_as_the_connection_is_lost(loop: Loop) -> None:
    told: list[Any] = []

    class Late(Echo):
        def connection_lost(self, exc: BaseException | None) -> None:
            told.extend(self.transport.get_extra_info(name) for name in NAMES[1:])
            told.append(self.transport.get_extra_info("socket").fileno())
            super().connection_lost(exc)

    async with served(loop, Late) as (_, address, protocols):
        client, protocol = await connected(loop, address, protocols)
        name = client.getsockname()
        client.close()
        await protocol.lost()
        await turns(1)
        assert told[:2] == [address, name]
        assert told[2] >= 0


async def test_asking_neither_opens_nor_leaves_a_descriptor(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        before = len(os.listdir("/proc/self/fd"))
        for asks in ((), ("socket",), NAMES):
            client, protocol = await connected(loop, address, protocols)
            for name in asks:
                protocol.transport.get_extra_info(name)
            assert len(os.listdir("/proc/self/fd")) == before + 2
            client.close()
            await protocol.lost()
            await turns(1)
            protocol.transport.get_extra_info("socket")
            assert len(os.listdir("/proc/self/fd")) == before


async def test_a_lost_connections_number_is_left_to_who_has_it_now(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        client, protocol = await connected(loop, address, protocols)
        client.close()
        await protocol.lost()
        await turns(1)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert protocol.transport.get_extra_info("socket").fileno() == -1
            protocol.transport.abort()
            protocol.transport.close()
            await turns(2)
            ours.sendall(b"still open")
            assert theirs.recv(10) == b"still open"


async def test_ipv6_addresses_have_four_parts(loop: Loop) -> None:
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(factory, "::1", 0)
    address = server.sockets[0].getsockname()
    with socket.socket(socket.AF_INET6) as client:
        client.setblocking(False)
        await loop.sock_connect(client, address)
        await exchanged(loop, client)
        name = client.getsockname()
    transport = protocols[0].transport
    await protocols[0].lost()
    await turns(1)
    assert transport.get_extra_info("peername") == name
    assert transport.get_extra_info("sockname") == address
    assert transport.get_extra_info("socket").family == socket.AF_INET6
    server.close()
    await server.wait_closed()


async def test_a_unix_connection_tells_the_path(loop: Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    protocol = Echo()
    server = await loop.create_unix_server(lambda: protocol, path)
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, path)
        await exchanged(loop, client)
        assert protocol.transport.get_extra_info("sockname") == path
        assert protocol.transport.get_extra_info("peername") == ""
        assert protocol.transport.get_extra_info("socket").family == socket.AF_UNIX
    await protocol.lost()
    server.close()
    await server.wait_closed()
    await turns(1)
