"""``start_tls``, ``sendfile``, datagram endpoints and pipes: what works with a transport."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from support.net import connected, end, turns
from support.ownership.connections import accepted_pair, calling_with_tls, use_served
from support.ownership.exchange import Caller, DatagramCaller, exchange_by_streams
from support.ownership.rounds import Outcome, Round, operation
from support.ownership.sock_calls import NotInTheKernel
from support.protocols import Recorder


async def _use_untouched(this: Round, transport: Any, protocol: Any) -> None:
    """A connection whose change to TLS had not begun when it was cancelled."""
    this.insist(transport.get_protocol() is protocol, "broken", "it is half in TLS")
    this.insist(transport.is_reading(), "broken", "it does not read any more")
    transport.abort()


@operation("AbstractEventLoop.start_tls")
async def start_tls(this: Round) -> None:
    world = this.world
    transport, protocol = await this.loop.create_connection(Caller, *world.tls)
    starting = this.loop.start_tls(
        transport, protocol, world.client_context, server_hostname="localhost"
    )
    outcome = await this.attempt(starting)
    if outcome.done:
        protocol.transport = outcome.value
        await protocol.exchange(this.token)
        await end(outcome.value, protocol)
    else:
        if not transport.is_closing():
            await _use_untouched(this, transport, protocol)
        await turns(3)


@operation("AbstractEventLoop.start_tls")
async def start_tls_of_a_server(this: Round) -> None:
    client, accepted = accepted_pair()
    transport, protocol = await this.loop.connect_accepted_socket(Caller, accepted)

    async def serve() -> Any:
        context = this.world.server_context
        return await this.loop.start_tls(transport, protocol, context, server_side=True), protocol

    async with calling_with_tls(this, client):
        await use_served(this, await this.attempt(serve()))
        transport.abort()
        await turns(3)
    this.close(client, accepted)


@operation("StreamWriter.start_tls")
async def start_tls_of_a_stream(this: Round) -> None:
    reader, writer = await asyncio.open_connection(*this.world.tls)
    raw = writer.transport
    starting = writer.start_tls(this.world.client_context, server_hostname="localhost")
    outcome = await this.attempt(starting)
    if outcome.done:
        await exchange_by_streams(reader, writer, this.token)
        writer.close()
        await writer.wait_closed()
    else:
        if not raw.is_closing():
            await _use_untouched(this, raw, raw.get_protocol())
        await turns(3)


class Listener:
    """The other side of a connection: reads until the end, a little at a time."""

    def __init__(self, this: Round, peer: socket.socket) -> None:
        self._task = this.loop.create_task(self._listen(this, peer))

    async def _listen(self, this: Round, peer: socket.socket) -> bytes:
        received = bytearray()
        while data := await this.loop.sock_recv(peer, 50_000):
            received += data
        return bytes(received)

    async def until_end(self) -> bytes:
        """All there was."""
        return await self._task


async def _send_file(this: Round, file: Any, *, fallback: bool) -> None:
    content = (this.world.folder / "file").read_bytes()
    async with connected(this.loop, Recorder) as (transport, protocol, peer):
        # Fixed and small, so that what is written soon has to wait.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        listener = Listener(this, peer)
        head, tail = b"head" * this.dice.choice([1, 500_000]), b"tail"
        transport.write(head)
        outcome = await this.attempt(this.loop.sendfile(transport, file, fallback=fallback))
        if outcome.error is not None:
            raise outcome.error
        # Whether it was cancelled or not, the transport reads and writes as before.
        try:
            transport.write(tail)
        except RuntimeError as error:
            this.violate("broken", f"write after sendfile: {error}")
        this.insist(transport.is_reading(), "broken", "it does not read any more")
        await this.loop.sock_sendall(peer, this.token)
        received = await protocol.got(len(this.token))
        this.insist(received == this.token, "crossed", f"received {received!r}")
        transport.close()
        received = await listener.until_end()
        sent = received.removeprefix(head)
        this.insist(len(sent) + len(head) == len(received), "lost", "what was written before")
        this.insist(sent.endswith(tail), "lost", "what was written after")
        sent = sent.removesuffix(tail)
        this.insist(content.startswith(sent), "crossed", f"received {sent[-100:]!r}")
        this.insist(not outcome.done or sent == content, "lost", f"{len(sent)} came")


@operation("AbstractEventLoop.sendfile")
async def sendfile(this: Round) -> None:
    with (this.world.folder / "file").open("rb") as file:
        await _send_file(this, file, fallback=False)


@operation("AbstractEventLoop.sendfile", waits_for_others=True)
async def sendfile_without_the_kernel(this: Round) -> None:
    with (this.world.folder / "file").open("rb", buffering=0) as file:
        await _send_file(this, NotInTheKernel(file), fallback=True)
        await this.world.idle_pool()


async def _use_endpoint(this: Round, outcome: Outcome, address: Any) -> None:
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        transport, protocol = outcome.value
        await protocol.exchange(this.token, address)
        await end(transport, protocol)


@operation("AbstractEventLoop.create_datagram_endpoint")
async def create_datagram_endpoint(this: Round) -> None:
    opening = this.loop.create_datagram_endpoint(DatagramCaller, local_addr=("127.0.0.1", 0))
    await _use_endpoint(this, await this.attempt(opening), this.world.udp)


@operation("AbstractEventLoop.create_datagram_endpoint")
async def create_connected_datagram_endpoint(this: Round) -> None:
    opening = this.loop.create_datagram_endpoint(DatagramCaller, remote_addr=this.world.udp)
    await _use_endpoint(this, await this.attempt(opening), None)


@operation("AbstractEventLoop.create_datagram_endpoint")
async def create_datagram_endpoint_over_a_socket(this: Round) -> None:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    opening = this.loop.create_datagram_endpoint(DatagramCaller, sock=sock)
    await _use_endpoint(this, await this.attempt(opening), this.world.udp)
    await turns(4)
    this.close(sock)


async def _over_pipe(
    this: Round, connect: Callable[[], Awaitable[Any]], use: Callable[[Any], Awaitable[None]]
) -> None:
    outcome = await this.attempt(connect())
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        await use(outcome.value)
    await turns(4)


@operation("AbstractEventLoop.connect_read_pipe")
async def connect_read_pipe(this: Round) -> None:
    read, write = os.pipe()
    source = os.fdopen(read, "rb", buffering=0)

    async def use(connection: Any) -> None:
        transport, protocol = connection
        os.write(write, this.token)
        received = await protocol.got(len(this.token))
        this.insist(received == this.token, "crossed", f"received {received!r}")
        transport.close()
        await protocol.lost()

    await _over_pipe(this, lambda: this.loop.connect_read_pipe(Recorder, source), use)
    source.close()
    os.close(write)
    this.world.neighbours.move_in()


@operation("AbstractEventLoop.connect_write_pipe")
async def connect_write_pipe(this: Round) -> None:
    read, write = os.pipe()
    sink = os.fdopen(write, "wb", buffering=0)

    async def use(connection: Any) -> None:
        transport, protocol = connection
        transport.write(this.token)
        received = os.read(read, 1000)
        this.insist(received == this.token, "crossed", f"received {received!r}")
        transport.close()
        await protocol.lost()

    await _over_pipe(this, lambda: this.loop.connect_write_pipe(Recorder, sink), use)
    sink.close()
    os.close(read)
    this.world.neighbours.move_in()
