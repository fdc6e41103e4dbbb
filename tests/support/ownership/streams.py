"""Stream readers and writers: what a cancelled read has not given is still there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from support.net import listening, receive_exactly, turns
from support.ownership.rounds import Round, operation

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]


@asynccontextmanager
async def _open_streams(this: Round) -> AsyncIterator[Streams]:
    with listening() as server:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        peer, _ = server.accept()
    # Fixed and small, so that what is written soon has to wait.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    peer.setblocking(False)
    try:
        yield reader, writer, peer
    finally:
        if writer.transport.get_write_buffer_size() or not writer.transport.is_closing():
            writer.transport.abort()
        await turns(3)
        this.close(peer)


async def _read(this: Round, read: Callable[[asyncio.StreamReader], Awaitable[bytes]]) -> None:
    async with _open_streams(this) as (reader, _, peer):
        said = b"".join(b"%s %d\n" % (this.token, number) for number in range(4))
        half = this.dice.randrange(len(said))
        peer.send(said[:half])

        def say_the_rest() -> None:
            peer.send(said[half:])
            peer.shutdown(socket.SHUT_WR)

        this.meanwhile(say_the_rest)
        outcome = await this.attempt(read(reader))
        if outcome.error is not None:
            raise outcome.error
        this.act_now()
        heard = (outcome.value or b"") + await reader.read()
        this.insist(heard == said, "lost", f"{heard!r} is left of {said!r}")


@operation("StreamReader.read")
async def read_some(this: Round) -> None:
    await _read(this, lambda reader: reader.read(7))


@operation("StreamReader.read")
async def read_all(this: Round) -> None:
    await _read(this, lambda reader: reader.read())


@operation("StreamReader.readline")
async def readline(this: Round) -> None:
    await _read(this, lambda reader: reader.readline())


@operation("StreamReader.readuntil")
async def readuntil(this: Round) -> None:
    await _read(this, lambda reader: reader.readuntil(b" 2\n"))


@operation("StreamReader.readexactly")
async def readexactly(this: Round) -> None:
    await _read(this, lambda reader: reader.readexactly(40))


@operation("StreamReader.__anext__")
async def read_by_iteration(this: Round) -> None:
    await _read(this, lambda reader: anext(reader))


@operation("StreamWriter.drain")
async def drain(this: Round) -> None:
    async with _open_streams(this) as (_, writer, peer):
        data = this.token * (2_000_000 // len(this.token))
        writer.write(data)
        receiving: list[asyncio.Task[bytes]] = []

        def receive() -> None:
            work = receive_exactly(this.loop, peer, len(data) + 4)
            receiving.append(this.loop.create_task(work))

        this.meanwhile(receive)
        outcome = await this.attempt(writer.drain())
        if outcome.error is not None:
            raise outcome.error
        this.act_now()
        writer.write(b"tail")
        await writer.drain()
        this.insist(await receiving[0] == data + b"tail", "lost", "of what was written")


@operation("StreamWriter.wait_closed")
async def wait_for_a_stream_to_close(this: Round) -> None:
    async with _open_streams(this) as (_, writer, peer):
        data = this.token * (2_000_000 // len(this.token))
        writer.write(data)
        writer.close()
        receiving: list[asyncio.Task[bytes]] = []

        def receive() -> None:
            work = receive_exactly(this.loop, peer, len(data) + 1)
            receiving.append(this.loop.create_task(work))

        this.meanwhile(receive)
        outcome = await this.attempt(writer.wait_closed())
        if outcome.error is not None:
            raise outcome.error
        this.act_now()
        # Whoever waits for it now is cancelled too, since asyncio's streams share one future.
        this.insist(await receiving[0] == data, "lost", "of what was written")
