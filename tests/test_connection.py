"""``create_connection``: addresses, options, failures, cancellation."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.leaks import Ledger, open_descriptors
from support.loops import Loop
from support.net import free_port, gone, listening, served, turns
from support.protocols import Echo, Recorder


async def test_it_returns_a_transport_and_its_protocol(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, _):
        transport, protocol = await loop.create_connection(Recorder, *address)
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(protocol, Recorder)
        assert transport.get_protocol() is protocol
        assert protocol.transport is transport
        assert protocol.names() == ["made"]
        transport.write(b"ping")
        assert await protocol.got(4) == b"ping"
        transport.close()
        assert await protocol.lost() is None
        await turns(1)


async def test_connection_made_is_called_before_it_returns(loop: Loop) -> None:
    with listening() as server:
        order: list[str] = []

        class Ordered(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                order.append("made")

        transport, protocol = await loop.create_connection(Ordered, *server.getsockname())
        order.append("returned")
        assert order == ["made", "returned"]
        transport.abort()
        await gone(transport, protocol)


async def test_extra_info_tells_the_sockets_addresses(loop: Loop) -> None:
    async with served(loop) as (_, address, _):
        transport, protocol = await loop.create_connection(Recorder, *address)
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert transport.get_extra_info("sockname") == sock.getsockname()
        assert transport.get_extra_info("peername") == sock.getpeername() == address
        assert transport.get_extra_info("unknown") is None
        assert transport.get_extra_info("unknown", "default") == "default"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
        await protocol.lost()
        assert transport.get_extra_info("peername") == address
        await turns(1)


async def test_each_connection_has_the_addresses_of_its_own_socket(loop: Loop) -> None:
    accepted: list[asyncio.BaseTransport] = []

    class Accepted(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.append(transport)

    servers = [await loop.create_server(Accepted, host, 0) for host in ("127.0.0.1", "127.0.0.2")]
    addresses = [server.sockets[0].getsockname() for server in servers]
    connections = []
    for address in addresses * 3:
        transport, protocol = await loop.create_connection(Recorder, *address)
        connections.append((transport, protocol))
        while len(accepted) < len(connections):
            await asyncio.sleep(0)
        assert accepted[-1].get_extra_info("sockname") == address
        assert accepted[-1].get_extra_info("peername") == transport.get_extra_info("sockname")
        assert transport.get_extra_info("peername") == address
    for transport, protocol in connections:
        transport.close()
        await protocol.lost()
    for server in servers:
        server.close()
        await server.wait_closed()
    await turns(3)


async def test_host_names_are_resolved(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, _):
        transport, protocol = await loop.create_connection(
            Recorder, "localhost", address[1], family=socket.AF_INET
        )
        assert transport.get_extra_info("peername") == address
        transport.close()
        await protocol.lost()
        await turns(1)


async def test_ports_may_be_text(loop: Loop) -> None:
    async with served(loop) as (_, address, _):
        transport, protocol = await loop.create_connection(Recorder, address[0], str(address[1]))
        transport.close()
        await protocol.lost()
        await turns(1)


async def test_ipv6(loop: Loop) -> None:
    with listening("::1") as server:
        transport, protocol = await loop.create_connection(Recorder, "::1", server.getsockname()[1])
        assert transport.get_extra_info("peername")[:2] == ("::1", server.getsockname()[1])
        transport.close()
        await protocol.lost()
        await turns(1)


async def test_a_connected_socket_can_be_given(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, _):
        sock = socket.create_connection(address)
        transport, protocol = await loop.create_connection(Recorder, sock=sock)
        assert sock.gettimeout() == 0
        transport.write(b"ping")
        assert await protocol.got(4) == b"ping"
        transport.close()
        await protocol.lost()
        await turns(1)
        assert sock.fileno() == -1


async def test_the_local_address_can_be_chosen(loop: Loop) -> None:
    async with served(loop) as (_, address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, local_addr=("127.0.0.3", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
        transport.close()
        await protocol.lost()
        await turns(1)


async def test_a_local_address_that_is_not_ours_is_named_in_the_error(loop: Loop) -> None:
    with listening() as server, pytest.raises(OSError, match=r"192\.0\.2\.1"):
        await loop.create_connection(Recorder, *server.getsockname(), local_addr=("192.0.2.1", 0))


async def test_a_refused_connection_names_the_address(loop: Loop) -> None:
    port = free_port()
    before = open_descriptors()
    with pytest.raises(ConnectionRefusedError, match=r"Connect call failed \('127\.0\.0\.1', "):
        await loop.create_connection(Recorder, "127.0.0.1", port)
    assert open_descriptors() == before


async def test_failures_of_several_addresses_are_told_together(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [free_port(), free_port()]

    async def two_addresses(*args: Any, **options: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number + 1}", port))
            for number, port in enumerate(ports)
        ]

    monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
    with pytest.raises(OSError, match=r"^Multiple exceptions: \[Errno 111\].*\[Errno 111\]"):
        await loop.create_connection(Recorder, "many.example", 1)


async def test_all_errors_can_be_asked_for(loop: Loop) -> None:
    try:
        with pytest.raises(ExceptionGroup) as caught:
            await loop.create_connection(Recorder, "127.0.0.1", free_port(), all_errors=True)
    except TypeError as error:
        assert "all_errors" in str(error)
        pytest.skip("all_errors= came with Python 3.12")
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


async def test_the_next_address_is_tried(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as server:
        good, bad = server.getsockname(), ("127.0.0.1", free_port())

        async def two_addresses(*args: Any, **options: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (bad, good)]

        monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
        transport, protocol = await loop.create_connection(Recorder, "two.example", 1)
        assert transport.get_extra_info("peername") == good
        transport.close()
        await protocol.lost()
        await turns(1)


async def test_happy_eyeballs_takes_the_first_that_answers(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first address takes no connection (its backlog is full); the second one is tried
    # after the delay and wins. The attempt that lost is closed.
    with listening() as server, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)

        async def two_addresses(*args: Any, **options: Any) -> list[Any]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", sock.getsockname())
                for sock in (full, server)
            ]

        monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
        transport, protocol = await loop.create_connection(
            Recorder, "two.example", 1, happy_eyeballs_delay=0.01
        )
        assert transport.get_extra_info("peername") == server.getsockname()
        transport.close()
        await protocol.lost()
        for filler in fillers:
            filler.close()
        await turns(2)


async def test_an_unknown_host_is_a_resolution_error(loop: Loop) -> None:
    with pytest.raises(socket.gaierror):
        await loop.create_connection(Recorder, "256.256.256.256", 80)


async def test_contradicting_arguments_are_refused(loop: Loop) -> None:
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        with pytest.raises(ValueError, match="host/port and sock can not be specified at the sam"):
            await loop.create_connection(Recorder, "127.0.0.1", 1, sock=stream)
        with pytest.raises(ValueError, match="host and port was not specified and no sock speci"):
            await loop.create_connection(Recorder)
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.create_connection(Recorder, sock=datagram)
        with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
            await loop.create_connection(Recorder, "127.0.0.1", 1, server_hostname="x")
        with pytest.raises(ValueError, match="You must set server_hostname when using ssl withou"):
            await loop.create_connection(Recorder, "", 1, ssl=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            await loop.create_connection(Recorder, "127.0.0.1", 1, ssl_handshake_timeout=1)


async def test_a_factory_that_fails_closes_the_socket(
    loop: Loop, nothing_left_behind: Ledger
) -> None:
    def factory() -> Recorder:
        raise LookupError("factory")

    with listening() as server:
        with pytest.raises(LookupError, match="factory"):
            await loop.create_connection(factory, *server.getsockname())
        # The standard library leaves it to the collector to close the socket.
        assert all("unclosed <socket" in lost for lost in nothing_left_behind.take_lost_errors())
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(1) == b""


async def test_cancelling_under_way_closes_the_socket(loop: Loop) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        before = open_descriptors()
        connecting = loop.create_task(loop.create_connection(Recorder, *full.getsockname()))
        await turns(5)
        assert not connecting.done()
        assert len(open_descriptors()) == len(before) + 1
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert open_descriptors() == before
        for filler in fillers:
            filler.close()


async def test_cancelling_in_any_turn_leaks_nothing(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, _):
        for after in range(12):
            connecting = loop.create_task(loop.create_connection(Recorder, *address))
            await turns(after)
            connecting.cancel()
            try:
                transport, protocol = await connecting
            except asyncio.CancelledError:
                continue
            transport.abort()
            await gone(transport, protocol)
        await turns(5)


async def test_many_connections_at_once(loop: Loop) -> None:
    async with served(loop, Echo, backlog=256) as (_, address, protocols):

        async def ping(number: int) -> None:
            transport, protocol = await loop.create_connection(Recorder, *address)
            payload = b"%04d" % number
            transport.write(payload)
            assert await protocol.got(4) == payload
            transport.close()
            await gone(transport, protocol)

        await asyncio.gather(*(ping(number) for number in range(200)))
        assert len(protocols) == 200
