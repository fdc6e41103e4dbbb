"""Serving: a server that was cancelled before anybody got it does not serve."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable
from typing import Any

from support.net import end
from support.ownership.exchange import AuditedEcho, Caller, exchange_by_socket
from support.ownership.rounds import Outcome, Round, operation


async def _use_server(this: Round, outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        server = outcome.value
        for listening in server.sockets:
            with socket.socket(listening.family) as client:
                client.setblocking(False)
                await this.loop.sock_connect(client, listening.getsockname())
                await exchange_by_socket(this.loop, client, this.token)
        server.close()
        await server.wait_closed()


def _audited(this: Round) -> Any:
    return lambda: AuditedEcho(this.world.wrong)


async def _serve(this: Round, serving: Awaitable[Any]) -> None:
    await _use_server(this, await this.attempt(serving))


@operation("AbstractEventLoop.create_server")
async def create_server(this: Round) -> None:
    await _serve(this, this.loop.create_server(_audited(this), "127.0.0.1", 0))


@operation("AbstractEventLoop.create_server")
async def create_server_on_several_hosts(this: Round) -> None:
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    await _serve(this, this.loop.create_server(_audited(this), hosts, 0))


@operation("AbstractEventLoop.create_server")
async def create_server_on_a_socket(this: Round) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    outcome = await this.attempt(this.loop.create_server(_audited(this), sock=sock))
    await _use_server(this, outcome)
    this.close(sock)


@operation("AbstractEventLoop.create_unix_server")
async def create_unix_server(this: Round) -> None:
    path = this.world.path("server")
    await _serve(this, this.loop.create_unix_server(_audited(this), path))
    if os.path.exists(path):
        with socket.socket(socket.AF_UNIX) as client:
            this.insist(client.connect_ex(path) != 0, "leaked", "somebody listens")
        os.unlink(path)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()
    await writer.wait_closed()


@operation("start_server")
async def start_server(this: Round) -> None:
    await _serve(this, asyncio.start_server(_echo, "127.0.0.1", 0))


@operation("start_unix_server")
async def start_unix_server(this: Round) -> None:
    path = this.world.path("server")
    await _serve(this, asyncio.start_unix_server(_echo, path))
    if os.path.exists(path):
        os.unlink(path)


@operation("AbstractEventLoop.create_server", "Server.start_serving")
async def create_server_and_start_serving(this: Round) -> None:
    creating = this.loop.create_server(_audited(this), "127.0.0.1", 0, start_serving=False)
    server = await creating
    outcome = await this.attempt(server.start_serving())
    if outcome.done:
        await _use_server(this, Outcome(value=server))
    else:
        server.close()
        await server.wait_closed()


@operation("Server.serve_forever")
async def serve_forever(this: Round) -> None:
    server = await this.loop.create_server(_audited(this), "127.0.0.1", 0, start_serving=False)
    this.meanwhile(server.close)
    outcome = await this.attempt(server.serve_forever())
    closed_before = isinstance(outcome.error, RuntimeError) and this.plan.peer == 0
    this.insist(outcome.cancelled or closed_before, "broken", f"it ended with {outcome}")
    this.act_now()
    this.insist(not server.is_serving(), "broken", "it serves on")
    await server.wait_closed()


@operation("Server.wait_closed")
async def wait_for_a_server_to_close(this: Round) -> None:
    server = await this.loop.create_server(_audited(this), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    transport, protocol = await this.loop.create_connection(Caller, *address)
    await protocol.exchange(this.token)
    server.close()
    this.meanwhile(transport.close)
    outcome = await this.attempt(server.wait_closed())
    if outcome.error is not None:
        raise outcome.error
    this.act_now()
    await server.wait_closed()
    await end(transport, protocol)
