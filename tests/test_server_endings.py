"""How serving ends: `close`, `wait_closed`, `serve_forever`, and what becomes of connections.

The rules differ between versions of Python, and Rondel follows the one it runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import STDLIB, Loop
from support.net import receive_all, served, turns
from support.protocols import Echo, Recorder

WAITS_FOR_CONNECTIONS = sys.version_info >= (3, 12, 1)
"""Whether ``wait_closed`` on a closed server waits until its connections are lost."""
KNOWS_CLIENTS = sys.version_info >= (3, 13)
"""Whether a server can end its connections."""


@asynccontextmanager
async def one_client(loop: Loop, **options: Any) -> AsyncIterator[tuple[Any, Any, socket.socket]]:
    """A server with one connection: the server, its protocol, the client's socket."""
    async with served(loop, Recorder, **options) as (server, address, protocols):
        with socket.create_connection(address) as client:
            client.setblocking(False)
            while not protocols or protocols[0].transport is None:
                await asyncio.sleep(0)
            yield server, protocols[0], client


async def test_wait_closed_of_a_closed_server_with_connections(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, _):
        server.close()
        waiting = loop.create_task(server.wait_closed())
        await turns(5)
        assert waiting.done() is not WAITS_FOR_CONNECTIONS
        protocol.transport.close()
        await waiting


async def test_wait_closed_of_an_open_server_waits_for_its_close(loop: Loop) -> None:
    async with served(loop, Recorder) as (server, _, _):
        waiting = [loop.create_task(server.wait_closed()) for _ in range(3)]
        await turns(5)
        assert not any(task.done() for task in waiting)
        waiting[1].cancel()
        server.close()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [False, True, False]
        await server.wait_closed()


async def test_waiting_since_before_the_close_is_for_the_connections_too(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, _):
        waiting = loop.create_task(server.wait_closed())
        await turns(3)
        server.close()
        await turns(3)
        assert not waiting.done()
        protocol.transport.abort()
        await waiting


async def test_a_connection_that_ends_first_does_not_end_the_wait(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, client):
        waiting = loop.create_task(server.wait_closed())
        client.close()
        await protocol.lost()
        await turns(3)
        assert not waiting.done()
        server.close()
        await waiting


async def test_a_cancelled_serve_forever_waits_as_wait_closed_does(loop: Loop) -> None:
    async with one_client(loop, start_serving=True) as (server, protocol, _):
        serving = loop.create_task(server.serve_forever())
        await turns(2)
        serving.cancel()
        await turns(5)
        assert not server.is_serving()
        assert serving.done() is not WAITS_FOR_CONNECTIONS
        protocol.transport.close()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_serve_forever_can_be_awaited_once_at_a_time(loop: Loop) -> None:
    async with served(loop, Echo, start_serving=False) as (server, _, _):
        first = loop.create_task(server.serve_forever())
        await turns(2)
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        assert server.is_serving()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()


async def test_leaving_a_server_closes_it_and_waits(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, _):

        async def use() -> None:
            async with server:
                await server.start_serving()

        using = loop.create_task(use())
        await turns(5)
        assert not server.is_serving()
        assert using.done() is not WAITS_FOR_CONNECTIONS
        protocol.transport.close()
        await using


async def test_a_server_that_never_served_can_be_closed(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
    address = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    assert not server.sockets
    with socket.socket() as client:
        assert client.connect_ex(address) != 0
    with pytest.raises((AssertionError, TypeError)):  # asyncio's own, by accident
        await server.start_serving()


async def test_connections_that_wait_when_the_server_closes_are_refused(loop: Loop) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        client.setblocking(False)
        server.close()  # in this turn nobody has accepted it yet
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(client, 1)
    await server.wait_closed()


async def test_a_factory_may_close_its_server(loop: Loop, loop_kind: str, strays: Strays) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard loop goes on accepting, and leaves what it accepts open")
    made: list[Recorder] = []

    def factory() -> Recorder:
        server.close()
        made.append(Recorder())
        return made[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
    address = server.sockets[0].getsockname()
    await server.start_serving()
    clients = [socket.create_connection(address) for _ in range(5)]
    while server.is_serving():
        await turns(1)
    # The one that was being accepted has no server any more, and the others are not accepted.
    for client in clients:
        with client:
            client.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                assert await loop.sock_recv(client, 1) == b""
    await server.wait_closed()
    assert len(made) == 1
    # That no transport could be made is reported in debug mode.
    reported = [type(context["exception"]) for context in strays.take()]
    assert reported == ([AssertionError] if loop.get_debug() else [])


async def test_a_server_hands_on_its_options(loop: Loop) -> None:
    server = await loop.create_server(
        Echo, ["127.0.0.1", "127.0.0.2"], 0, reuse_port=True, backlog=5, start_serving=False
    )
    for sock in server.sockets:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    await server.start_serving()
    for sock in server.sockets:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    server.close()
    await server.wait_closed()


async def test_servers_that_share_a_port_each_get_connections(loop: Loop) -> None:
    counts = [0, 0]

    def counting(index: int) -> Echo:
        counts[index] += 1
        return Echo()

    first = await loop.create_server(lambda: counting(0), "127.0.0.1", 0, reuse_port=True)
    address = first.sockets[0].getsockname()
    second = await loop.create_server(lambda: counting(1), *address, reuse_port=True)
    for _ in range(1000):  # the kernel chooses by a hash of the client's port
        with socket.create_connection(address) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, b"ping")
            assert await loop.sock_recv(client, 4) == b"ping"
        if all(counts):
            break
    assert all(counts)
    for server in (first, second):
        server.close()
        await server.wait_closed()
    await turns(3)


@pytest.mark.skipif(not KNOWS_CLIENTS, reason="close_clients came with 3.13")
async def test_close_clients_sends_what_was_written(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, client):
        data = bytes(range(256)) * 40_000
        protocol.transport.write(data)
        server.close()
        server.close_clients()
        assert await receive_all(loop, client) == data
        assert await protocol.lost() is None
        await server.wait_closed()


@pytest.mark.skipif(not KNOWS_CLIENTS, reason="abort_clients came with 3.13")
async def test_abort_clients_drops_what_was_written(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, client):
        data = bytes(range(256)) * 100_000
        protocol.transport.write(data)
        assert protocol.transport.get_write_buffer_size() > 0
        server.close()
        server.abort_clients()
        assert await protocol.lost() is None
        await server.wait_closed()
        with contextlib.suppress(ConnectionResetError):
            assert len(await receive_all(loop, client)) < len(data)


@pytest.mark.skipif(not KNOWS_CLIENTS, reason="close_clients came with 3.13")
async def test_clients_can_be_closed_while_the_server_serves_on(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, client):
        server.close_clients()
        assert await protocol.lost() is None
        assert await receive_all(loop, client) == b""
        assert server.is_serving()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""


@pytest.mark.skipif(not KNOWS_CLIENTS, reason="abort_clients came with 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
async def test_clients_with_tls_are_ended_too(
    loop: Loop, certificates: Certificates, method: str
) -> None:
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=certificates.server_context())
    transport, protocol = await loop.create_connection(
        Recorder,
        *server.sockets[0].getsockname(),
        ssl=certificates.client_context(),
        server_hostname="localhost",
    )
    transport.write(b"ping")
    await protocol.got(4)
    server.close()
    getattr(server, method)()
    await protocol.lost()
    await server.wait_closed()


async def test_a_client_that_hangs_up_ends_the_wait(loop: Loop) -> None:
    async with one_client(loop) as (server, protocol, client):
        client.close()
        await protocol.lost()
        server.close()
        await server.wait_closed()
        assert protocol.count("lost") == 1
