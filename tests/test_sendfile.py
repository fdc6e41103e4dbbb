"""``loop.sendfile``: files sent over transports."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.net import connected, receive_all, receive_exactly, turns
from support.protocols import Recorder

SIZE = 16_000_000
"""More than what two sockets hold between them."""


@pytest.fixture
def data() -> bytes:
    """What is in the file."""
    return os.urandom(SIZE)


@pytest.fixture
def file(data: bytes, tmp_path: Path) -> Iterator[BinaryIO]:
    """A file larger than what a socket takes at once."""
    path = tmp_path / "data"
    path.write_bytes(data)
    with path.open("rb") as opened:
        yield opened


async def test_a_file_is_sent_whole(loop: Loop, file: BinaryIO, data: bytes) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file))
        assert await receive_exactly(loop, peer, SIZE) == data
        assert await sending == SIZE
        assert file.tell() == SIZE


async def test_a_part_is_sent(loop: Loop, file: BinaryIO, data: bytes) -> None:
    async with connected(loop) as (transport, _, peer):
        assert await loop.sendfile(transport, file, 1000, 500) == 500
        assert await receive_exactly(loop, peer, 500) == data[1000:1500]
        assert file.tell() == 1500


async def test_beyond_the_end_there_is_nothing_to_send(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, _, peer):
        assert await loop.sendfile(transport, file, SIZE) == 0
        transport.close()
        assert await receive_all(loop, peer) == b""


async def test_what_was_written_before_and_is_written_after_keeps_its_place(
    loop: Loop, file: BinaryIO, data: bytes
) -> None:
    async with connected(loop) as (transport, _, peer):

        async def send() -> None:
            transport.write(b"header")
            await loop.sendfile(transport, file)
            transport.write(b"trailer")
            transport.write(bytes(2_000_000))
            await loop.sendfile(transport, file, 0, 100)
            transport.close()

        sending = loop.create_task(send())
        received = await receive_all(loop, peer)
        await sending
        assert received == b"header" + data + b"trailer" + bytes(2_000_000) + data[:100]


async def test_files_in_memory_are_sent_by_reading(loop: Loop, data: bytes) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, io.BytesIO(data)))
        assert await receive_exactly(loop, peer, SIZE) == data
        assert await sending == SIZE


async def test_files_in_memory_are_refused_without_fallback(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _):
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(transport, io.BytesIO(b"data"), fallback=False)


async def test_nothing_else_can_be_written_meanwhile(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file))
        await turns(3)
        assert not sending.done()
        with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
            transport.write(b"in between")
        await receive_exactly(loop, peer, SIZE)
        await sending
        transport.write(b"after")
        assert await receive_exactly(loop, peer, 5) == b"after"


async def test_the_transport_is_usable_after_a_cancelled_sendfile(
    loop: Loop, file: BinaryIO
) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file))
        await turns(5)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        transport.write(b"after")
        transport.close()
        received = await receive_all(loop, peer)
        assert received.endswith(b"after")
        assert len(received) < SIZE


async def test_a_peer_that_goes_away(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file))
        await turns(3)
        peer.close()
        with pytest.raises(ConnectionError):
            await sending


async def test_a_closing_transport_is_refused(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, protocol, _):
        transport.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, file)
        await protocol.lost()


async def test_sendfile_over_tls(
    loop: Loop, file: BinaryIO, data: bytes, certificates: Certificates
) -> None:
    accepted: list[Recorder] = []

    def factory() -> Recorder:
        accepted.append(Recorder())
        return accepted[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=certificates.server_context())
    client: ssl.SSLContext = certificates.client_context()
    transport, protocol = await loop.create_connection(
        Recorder, *server.sockets[0].getsockname(), ssl=client, server_hostname="localhost"
    )
    assert await loop.sendfile(transport, file) == SIZE
    assert await accepted[0].got(SIZE) == data
    with pytest.raises(RuntimeError, match="fallback is disabled"):
        await loop.sendfile(transport, file, fallback=False)
    transport.close()
    await protocol.lost()
    await accepted[0].lost()
    server.close()
    await server.wait_closed()
    await turns(5)
