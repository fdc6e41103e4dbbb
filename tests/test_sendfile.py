"""``loop.sendfile``: files sent over transports."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from support.certificates import Certificates
from support.loops import STDLIB, Loop
from support.net import connected, end, receive_all, receive_exactly, socket_pair, turns
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


def can_send_much_by_reading(loop_kind: str) -> None:
    """Skip the test where asyncio damages what it sends."""
    if loop_kind == STDLIB and sys.version_info >= (3, 14):
        pytest.skip("asyncio's own loop reads into the buffer that its transport still sends")


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


async def test_files_in_memory_are_sent_by_reading(loop: Loop, loop_kind: str, data: bytes) -> None:
    can_send_much_by_reading(loop_kind)
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


# Which way it goes


@pytest.fixture
def kernel_copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each call of ``os.sendfile`` has sent."""
    copies: list[int] = []
    sendfile = os.sendfile

    def counting(*args: int) -> int:
        sent = sendfile(*args)
        copies.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", counting)
    return copies


async def test_the_kernel_copies_a_real_file(
    loop: Loop, file: BinaryIO, data: bytes, kernel_copies: list[int]
) -> None:
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file))
        assert await receive_exactly(loop, peer, SIZE) == data
        assert await sending == SIZE
    assert sum(kernel_copies) == SIZE


async def test_the_kernel_copies_to_a_unix_socket(
    loop: Loop, file: BinaryIO, data: bytes, kernel_copies: list[int]
) -> None:
    with socket_pair() as (left, right):
        transport, protocol = await loop.create_unix_connection(Recorder, sock=left)
        sending = loop.create_task(loop.sendfile(transport, file, SIZE - 1000))
        assert await receive_exactly(loop, right, 1000) == data[-1000:]
        assert await sending == 1000
        await end(transport, protocol)
    assert sum(kernel_copies) == 1000


async def test_what_the_kernel_cannot_copy_is_read(
    loop: Loop, loop_kind: str, file: BinaryIO, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    can_send_much_by_reading(loop_kind)

    def unable(*args: int) -> int:
        raise OSError(errno.EINVAL, "not this file")

    monkeypatch.setattr(os, "sendfile", unable)
    async with connected(loop) as (transport, _, peer):
        sending = loop.create_task(loop.sendfile(transport, file, 5))
        assert await receive_exactly(loop, peer, SIZE - 5) == data[5:]
        assert await sending == SIZE - 5
        assert file.tell() == SIZE
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(transport, file, fallback=False)
        transport.write(b"after")
        assert await receive_exactly(loop, peer, 5) == b"after"


async def test_a_part_of_a_file_in_memory_is_sent(loop: Loop) -> None:
    file = io.BytesIO(b"0123456789")
    async with connected(loop) as (transport, _, peer):
        assert await loop.sendfile(transport, file, 3, 4) == 4
        assert await receive_exactly(loop, peer, 4) == b"3456"
        assert file.tell() == 7
        assert await loop.sendfile(transport, file, 8, 100) == 2
        assert await receive_exactly(loop, peer, 2) == b"89"


async def test_more_than_there_is_sends_what_there_is(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, _, peer):
        assert await loop.sendfile(transport, file, SIZE - 10, 100) == 10
        assert len(await receive_exactly(loop, peer, 10)) == 10


@pytest.mark.parametrize(
    ("offset", "count", "error", "message"),
    [
        (-1, None, ValueError, "offset must be a non-negative integer"),
        (0, 0, ValueError, "count must be a positive integer"),
        (0, -1, ValueError, "count must be a positive integer"),
        (1.5, None, TypeError, "offset must be a non-negative integer"),
        (0, "1", TypeError, "count must be a positive integer"),
    ],
)
async def test_offset_and_count_are_checked(
    loop: Loop, file: BinaryIO, offset: int, count: int, error: type[Exception], message: str
) -> None:
    async with connected(loop) as (transport, _, _):
        with pytest.raises(error, match=message):
            await loop.sendfile(transport, file, offset, count)
        assert transport.is_reading()


# Reading meanwhile


@pytest.mark.parametrize("in_memory", [False, True])
async def test_what_the_peer_sends_meanwhile_comes_afterwards(
    loop: Loop, loop_kind: str, file: BinaryIO, data: bytes, in_memory: bool
) -> None:
    if in_memory:
        can_send_much_by_reading(loop_kind)
    async with connected(loop) as (transport, protocol, peer):
        source = io.BytesIO(data) if in_memory else file
        sending = loop.create_task(loop.sendfile(transport, source))
        await turns(3)
        peer.send(b"meanwhile")
        await turns(3)
        assert not sending.done()
        assert protocol.received == b""
        assert await receive_exactly(loop, peer, SIZE) == data
        await sending
        assert await protocol.got(9) == b"meanwhile"


async def test_reading_that_was_paused_stays_so(loop: Loop, file: BinaryIO) -> None:
    async with connected(loop) as (transport, protocol, peer):
        transport.pause_reading()
        peer.send(b"later")
        assert await loop.sendfile(transport, file, 0, 100) == 100
        await turns(3)
        assert not transport.is_reading()
        assert protocol.received == b""
        transport.resume_reading()
        assert await protocol.got(5) == b"later"


async def test_a_closed_transport_ends_a_sendfile_that_reads(loop: Loop, data: bytes) -> None:
    async with connected(loop) as (transport, protocol, _):
        sending = loop.create_task(loop.sendfile(transport, io.BytesIO(data)))
        await turns(5)
        assert not sending.done()
        transport.abort()
        with pytest.raises(ConnectionError):
            await sending
        await protocol.lost()


async def test_a_cancelled_sendfile_that_reads_leaves_a_usable_transport(
    loop: Loop, data: bytes
) -> None:
    async with connected(loop) as (transport, protocol, peer):
        sending = loop.create_task(loop.sendfile(transport, io.BytesIO(data)))
        await turns(5)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert transport.get_protocol() is protocol
        transport.write(b"after")
        transport.close()
        received = await receive_all(loop, peer)
        assert received.endswith(b"after")
        assert received[:-5] == data[: len(received) - 5]
