"""Connecting: a connection that was cancelled is gone, one that was not is the caller's alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from support.net import end, turns
from support.ownership.exchange import (
    Caller,
    exchange_by_socket,
    exchange_by_streams,
)
from support.ownership.rounds import Outcome, Round, operation


async def use(this: Round, outcome: Outcome) -> None:
    """Use the connection of a `Caller`, if there is one, and end it."""
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        transport, protocol = outcome.value
        await protocol.exchange(this.token)
        await end(transport, protocol)


async def _connection(this: Round, address: Any, **options: Any) -> None:
    await use(this, await this.attempt(this.loop.create_connection(Caller, *address, **options)))


@operation("AbstractEventLoop.create_connection")
async def create_connection(this: Round) -> None:
    await _connection(this, this.world.tcp)


@operation("AbstractEventLoop.create_connection")
async def create_connection_from_an_address(this: Round) -> None:
    await _connection(this, this.world.tcp, local_addr=("127.0.0.1", 0))


@operation("AbstractEventLoop.create_connection")
async def create_connection_with_tls(this: Round) -> None:
    await _connection(this, this.world.tls, **this.world.client_tls())


@operation("AbstractEventLoop.create_connection", waits_for_others=True)
async def create_connection_by_name(this: Round) -> None:
    await _connection(this, ("localhost", this.world.tcp[1]), family=socket.AF_INET)


async def _race(this: Round, addresses: list[Any], **options: Any) -> Outcome:
    """Connect to a name that has several addresses."""
    with this.world.name(addresses) as name:
        return await this.attempt(this.loop.create_connection(Caller, name, 1, **options))


@operation("AbstractEventLoop.create_connection")
async def create_connection_to_several_addresses(this: Round) -> None:
    world = this.world
    addresses = [world.refusing] * this.dice.randrange(3) + [world.tcp]
    await use(this, await _race(this, addresses))


@operation("AbstractEventLoop.create_connection", waits_for_others=True)
async def create_connection_with_happy_eyeballs(this: Round) -> None:
    world = this.world
    addresses = [world.refusing, world.deaf, world.tcp, world.tcp, world.tcp]
    this.dice.shuffle(addresses)
    delay = this.dice.choice([0.0, 0.0, 0.0005])
    await use(this, await _race(this, addresses, happy_eyeballs_delay=delay))


if sys.version_info >= (3, 12):  # all_errors= came with it

    @operation("AbstractEventLoop.create_connection")
    async def create_connection_with_all_errors(this: Round) -> None:
        outcome = await _race(this, [this.world.refusing] * 3, all_errors=True)
        if not outcome.cancelled:
            errors = outcome.error
            this.insist(isinstance(errors, ExceptionGroup), "broken", f"{errors!r} was raised")
            assert isinstance(errors, ExceptionGroup)
            this.insist(len(errors.exceptions) == 3, "lost", f"of three errors came {errors!r}")


def _connected_socket(this: Round, address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.connect(address)
    sock.setblocking(False)
    return sock


async def _over_socket(
    this: Round, sock: socket.socket, connecting: Awaitable[Any], *, tls: bool = False
) -> None:
    outcome = await this.attempt(connecting)
    await use(this, outcome)
    await turns(4)  # the transport of a cancelled one closes within
    if outcome.cancelled and sock.fileno() != -1 and not tls:
        # It had not begun, so the socket is untouched and the caller's.
        await exchange_by_socket(this.loop, sock, this.token)
    this.close(sock)


@operation("AbstractEventLoop.create_connection")
async def create_connection_over_a_socket(this: Round) -> None:
    sock = _connected_socket(this, this.world.tcp)
    await _over_socket(this, sock, this.loop.create_connection(Caller, sock=sock))


@operation("AbstractEventLoop.create_connection")
async def create_connection_with_tls_over_a_socket(this: Round) -> None:
    sock = _connected_socket(this, this.world.tls)
    connecting = this.loop.create_connection(Caller, sock=sock, **this.world.client_tls())
    await _over_socket(this, sock, connecting, tls=True)


@operation("AbstractEventLoop.create_unix_connection")
async def create_unix_connection(this: Round) -> None:
    connecting = this.loop.create_unix_connection(Caller, this.world.unix)
    await use(this, await this.attempt(connecting))


@operation("AbstractEventLoop.create_unix_connection")
async def create_unix_connection_over_a_socket(this: Round) -> None:
    sock = _connected_socket(this, this.world.unix)
    await _over_socket(this, sock, this.loop.create_unix_connection(Caller, sock=sock))


async def use_streams(this: Round, outcome: Outcome) -> None:
    """Use the streams, if there are any, and close them."""
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        reader, writer = outcome.value
        await exchange_by_streams(reader, writer, this.token)
        writer.close()
        await writer.wait_closed()


@operation("open_connection")
async def open_connection(this: Round) -> None:
    await use_streams(this, await this.attempt(asyncio.open_connection(*this.world.tcp)))


@operation("open_connection")
async def open_connection_with_tls(this: Round) -> None:
    opening = asyncio.open_connection(*this.world.tls, **this.world.client_tls())
    await use_streams(this, await this.attempt(opening))


@operation("open_unix_connection")
async def open_unix_connection(this: Round) -> None:
    await use_streams(this, await this.attempt(asyncio.open_unix_connection(this.world.unix)))


def accepted_pair() -> tuple[socket.socket, socket.socket]:
    """A connecting and an accepted socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    client.setblocking(False)
    accepted.setblocking(False)
    return client, accepted


@operation("AbstractEventLoop.connect_accepted_socket")
async def connect_accepted_socket(this: Round) -> None:
    client, accepted = accepted_pair()
    serving = this.loop.connect_accepted_socket(Caller, accepted)
    client.send(this.token)
    await use_served(this, await this.attempt(serving))
    await turns(4)
    this.close(client, accepted)


@asynccontextmanager
async def calling_with_tls(this: Round, client: socket.socket) -> AsyncIterator[None]:
    """A client that says the token over TLS, or fails because the server was cancelled."""

    async def call() -> None:
        with contextlib.suppress(OSError):
            transport, protocol = await this.loop.create_connection(
                Caller, sock=client, **this.world.client_tls()
            )
            transport.write(this.token)
            await protocol.lost()

    calling = this.loop.create_task(call())
    yield
    await calling


async def use_served(this: Round, outcome: Outcome) -> None:
    """Hear the token on a `Caller`'s connection, if there is one, and end it."""
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        transport, protocol = outcome.value
        received = await protocol.got(len(this.token))
        this.insist(received == this.token, "crossed", f"received {received!r}")
        await end(transport, protocol)


@operation("AbstractEventLoop.connect_accepted_socket")
async def connect_accepted_socket_with_tls(this: Round) -> None:
    client, accepted = accepted_pair()
    made: list[Caller] = []

    def factory() -> Caller:
        made.append(Caller())
        return made[0]

    serving = this.loop.connect_accepted_socket(factory, accepted, **this.world.server_tls())
    async with calling_with_tls(this, client):
        await use_served(this, await this.attempt(serving))
        if not made:
            this.close(accepted)  # it had not begun
    this.close(client, accepted)
