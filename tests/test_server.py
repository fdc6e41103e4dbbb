"""``create_server`` and the server it returns."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import Any

import pytest
from support.leaks import Ledger, Strays
from support.loops import Loop
from support.net import served, turns
from support.protocols import Echo, Recorder


async def answers(address: Any) -> bool:
    """Whether an echo server answers there."""
    reader, writer = await asyncio.open_connection(address[0], address[1])
    writer.write(b"ping")
    answer = await reader.readexactly(4)
    writer.close()
    await writer.wait_closed()
    return answer == b"ping"


async def refused(address: Any) -> bool:
    """Whether a connection there is refused."""
    try:
        _, writer = await asyncio.open_connection(address[0], address[1])
    except ConnectionRefusedError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def test_a_server_listens_on_a_free_port(loop: Loop) -> None:
    async with served(loop, Echo) as (server, address, protocols):
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving()
        assert server.get_loop() is loop
        assert address[0] == "127.0.0.1"
        assert address[1] > 0
        assert await answers(address)
        assert len(protocols) == 1


async def test_its_sockets_are_shown_as_transport_sockets(loop: Loop) -> None:
    async with served(loop) as (server, address, _):
        (shown,) = server.sockets
        assert isinstance(shown, asyncio.trsock.TransportSocket)
        assert shown.getsockname() == address
        assert shown.family == socket.AF_INET
        assert shown.type == socket.SOCK_STREAM
    assert tuple(server.sockets) == ()


async def test_a_factory_is_called_for_each_connection(loop: Loop) -> None:
    async with served(loop, Echo) as (_, address, protocols):
        for count in range(1, 6):
            assert await answers(address)
            assert len(protocols) == count
        assert len({id(protocol) for protocol in protocols}) == 5


async def test_connection_made_comes_before_any_data(loop: Loop) -> None:
    async with served(loop) as (_, address, protocols):
        client = socket.create_connection(address)
        client.sendall(b"early")
        while not protocols:
            await asyncio.sleep(0)
        assert await protocols[0].got(5) == b"early"
        assert protocols[0].names()[0] == "made"
        client.close()
        await protocols[0].lost()


async def test_a_server_takes_many_waiting_connections(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=300, start_serving=False)
    address = server.sockets[0].getsockname()
    await server.start_serving()
    clients = [socket.create_connection(address) for _ in range(250)]
    for number, client in enumerate(clients):
        client.sendall(b"%03d" % number)
        client.setblocking(False)
    for number, client in enumerate(clients):
        assert await loop.sock_recv(client, 3) == b"%03d" % number
        client.close()
    server.close()
    await server.wait_closed()
    await turns(5)


async def test_several_hosts(loop: Loop) -> None:
    server = await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2"], 0)
    addresses = [sock.getsockname() for sock in server.sockets]
    assert sorted(address[0] for address in addresses) == ["127.0.0.1", "127.0.0.2"]
    for address in addresses:
        assert await answers(address)
    server.close()
    await server.wait_closed()


async def test_one_host_named_twice_is_bound_once(loop: Loop) -> None:
    server = await loop.create_server(Echo, ["127.0.0.1", "127.0.0.1"], 0)
    assert len(server.sockets) == 1
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("host", [None, ""])
async def test_no_host_means_all_interfaces(loop: Loop, host: str | None) -> None:
    server = await loop.create_server(Echo, host, 0)
    families = {sock.family for sock in server.sockets}
    assert socket.AF_INET in families
    for sock in server.sockets:
        if sock.family == socket.AF_INET:
            assert sock.getsockname()[0] == "0.0.0.0"
            assert await answers(("127.0.0.1", sock.getsockname()[1]))
    server.close()
    await server.wait_closed()


async def test_the_family_can_be_chosen(loop: Loop) -> None:
    server = await loop.create_server(Echo, None, 0, family=socket.AF_INET)
    assert {sock.family for sock in server.sockets} == {socket.AF_INET}
    server.close()
    await server.wait_closed()


async def test_a_bound_socket_can_be_served(loop: Loop) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await loop.create_server(Echo, sock=sock)
    assert sock.gettimeout() == 0
    assert await answers(sock.getsockname())
    server.close()
    await server.wait_closed()
    await turns(2)
    assert sock.fileno() == -1


async def test_reuse_options_are_set_on_the_sockets(loop: Loop) -> None:
    for options, address_set, port_set in [
        ({}, True, False),
        ({"reuse_address": True}, True, False),
        ({"reuse_address": False}, False, False),
        ({"reuse_port": True}, True, True),
    ]:
        server = await loop.create_server(Echo, "127.0.0.1", 0, **options)
        (sock,) = server.sockets
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) is address_set
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)) is port_set
        server.close()
        await server.wait_closed()


async def test_two_servers_share_a_port_with_reuse_port(loop: Loop) -> None:
    first = await loop.create_server(Echo, "127.0.0.1", 0, reuse_port=True)
    port = first.sockets[0].getsockname()[1]
    second = await loop.create_server(Echo, "127.0.0.1", port, reuse_port=True)
    assert await answers(("127.0.0.1", port))
    for server in (first, second):
        server.close()
        await server.wait_closed()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="keep_alive= came with 3.13")
async def test_keep_alive_is_set_on_the_sockets(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, keep_alive=True)
    assert server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    server.close()
    await server.wait_closed()


async def test_an_address_in_use_is_named_in_the_error(loop: Loop) -> None:
    async with served(loop) as (_, address, _):
        with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
            await loop.create_server(Echo, *address)
        assert caught.value.errno == errno.EADDRINUSE
        assert str(address) in str(caught.value)


async def test_an_unknown_host_is_a_resolution_error(loop: Loop) -> None:
    with pytest.raises(socket.gaierror):
        await loop.create_server(Echo, "256.256.256.256", 0)


async def test_contradicting_arguments_are_refused(loop: Loop) -> None:
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        with pytest.raises(ValueError, match="host/port and sock can not be specified at the sam"):
            await loop.create_server(Echo, "127.0.0.1", 0, sock=stream)
        with pytest.raises(ValueError, match="Neither host/port nor sock were specified"):
            await loop.create_server(Echo)
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            await loop.create_server(Echo, sock=datagram)
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_server(Echo, "127.0.0.1", 0, ssl=True)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            await loop.create_server(Echo, "127.0.0.1", 0, ssl_handshake_timeout=1)


async def test_a_server_need_not_serve_at_once(loop: Loop) -> None:
    async with served(loop, Echo, start_serving=False) as (server, address, _):
        assert not server.is_serving()
        assert await refused(address)
        await server.start_serving()
        assert server.is_serving()
        assert await answers(address)
        await server.start_serving()  # a second time changes nothing
        assert await answers(address)


async def test_serve_forever_serves_until_cancelled(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
    address = server.sockets[0].getsockname()
    serving = loop.create_task(server.serve_forever())
    await turns(2)
    assert server.is_serving()
    assert await answers(address)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()
    assert await refused(address)


async def test_serve_forever_ends_when_the_server_closes(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    serving = loop.create_task(server.serve_forever())
    await turns(2)
    with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
        await server.serve_forever()
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(RuntimeError, match="is closed"):
        await server.serve_forever()


async def test_close_stops_listening_and_keeps_connections(loop: Loop) -> None:
    async with served(loop, Echo) as (server, address, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        server.close()
        assert not server.is_serving()
        await turns(2)
        assert await refused(address)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()
        await writer.wait_closed()


async def test_close_can_be_repeated(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    server.close()
    server.close()
    await server.wait_closed()
    await server.wait_closed()


async def test_wait_closed_waits_for_the_connections(loop: Loop) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("before 3.12 wait_closed returned at once on a closed server")
    async with served(loop, Echo) as (server, address, protocols):
        _, writer = await asyncio.open_connection(*address)
        while not protocols or protocols[0].transport is None:
            await asyncio.sleep(0)
        server.close()
        waiting = loop.create_task(server.wait_closed())
        await turns(5)
        assert not waiting.done()
        writer.close()
        await writer.wait_closed()
        await waiting
        assert protocols[0].count("lost") == 1


async def test_a_server_is_an_async_context_manager(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    async with server as entered:
        assert entered is server
        assert server.is_serving()
    assert not server.is_serving()
    assert tuple(server.sockets) == ()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients came with 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
async def test_a_server_ends_its_connections(loop: Loop, method: str) -> None:
    async with served(loop, Echo) as (server, address, protocols):
        streams = [await asyncio.open_connection(*address) for _ in range(3)]
        while len(protocols) < 3 or any(one.transport is None for one in protocols):
            await asyncio.sleep(0)
        server.close()
        getattr(server, method)()
        for protocol in protocols:
            assert await protocol.lost() is None
        await server.wait_closed()
        for reader, writer in streams:
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


async def test_a_factory_that_fails_closes_the_connection_and_the_server_goes_on(
    loop: Loop, strays: Strays, nothing_left_behind: Ledger
) -> None:
    fail = True

    def factory() -> Recorder:
        if fail:
            raise LookupError("factory")
        return Echo()

    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    debug, client = loop.get_debug(), socket.create_connection(address)
    loop.set_debug(True)  # the report is made in debug mode only
    with client:
        client.setblocking(False)
        while not strays.contexts:
            await asyncio.sleep(0)
    loop.set_debug(debug)
    context = strays.take_one()
    assert context["message"] == "Error on transport creation for incoming connection"
    assert isinstance(context["exception"], LookupError)
    context.clear()
    # The standard library leaves it to the collector to close the socket.
    assert all("unclosed <socket" in lost for lost in nothing_left_behind.take_lost_errors())
    fail = False
    assert await answers(address)
    server.close()
    await server.wait_closed()


async def test_a_protocol_that_fails_when_connected_is_reported(loop: Loop, strays: Strays) -> None:
    class Fails(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise LookupError("connection_made")

    async with served(loop, Fails) as (_, address, protocols):
        with socket.create_connection(address):
            while not strays.contexts:
                await asyncio.sleep(0)
        context = strays.take_one()
        assert isinstance(context["exception"], LookupError)
        await protocols[0].lost()


async def test_repr_names_the_sockets(loop: Loop) -> None:
    async with served(loop) as (server, address, _):
        assert repr(server).startswith("<Server sockets=(<asyncio.TransportSocket fd=")
        assert str(address[1]) in repr(server)


async def test_accepted_sockets_do_not_inherit_to_children_and_do_not_delay(loop: Loop) -> None:
    async with served(loop) as (_, address, protocols):
        with socket.create_connection(address):
            while not protocols or protocols[0].transport is None:
                await asyncio.sleep(0)
            sock = protocols[0].transport.get_extra_info("socket")
            assert sock.gettimeout() == 0
            assert sock.get_inheritable() is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getpeername() == protocols[0].transport.get_extra_info("peername")
        await protocols[0].lost()


async def test_connect_accepted_socket_makes_a_transport(loop: Loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    transport, protocol = await loop.connect_accepted_socket(Echo, accepted)
    with client:
        client.sendall(b"ping")
        client.setblocking(False)
        assert await loop.sock_recv(client, 4) == b"ping"
    assert await protocol.lost() is None
    assert transport.is_closing()
    await turns(1)
