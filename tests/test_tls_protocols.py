"""TLS: buffered protocols, and protocols that take over from others."""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

import pytest
from support.certificates import Certificates
from support.fuzz import SEED
from support.loops import Loop
from support.net import turns
from support.protocols import BufferedRecorder, Recorder
from support.tls_peer import (
    Buffered,
    client_with_peer,
    data_of,
    send_pieces,
    server_with_peer,
)

# Buffered protocols


async def test_records_that_come_together_fill_the_buffer(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates, Buffered) as (_, protocol, peer):
        pieces = [b"%03d" % number for number in range(100)]
        await peer.send(b"".join(map(peer.record, pieces)))
        assert await protocol.got(300) == b"".join(pieces)
        assert data_of(protocol) == [b"".join(pieces)]
        assert all(isinstance(hint, int) for hint in protocol.hints)
        protocol.buffer.clear()  # nobody holds on to it


async def test_records_larger_than_the_buffer_come_in_pieces_that_fill_it(
    loop: Loop, certificates: Certificates
) -> None:
    data = os.urandom(2_500)
    async with client_with_peer(loop, certificates, Buffered) as (_, protocol, peer):
        await peer.send(peer.record(data[:2000]) + peer.record(data[2000:]))
        assert await protocol.got(2_500) == data
        assert [len(piece) for piece in data_of(protocol)] == [1024, 1024, 452]


@pytest.mark.parametrize("size", [1, 1023, 16_384, 1_000_000])
async def test_buffers_of_any_size(loop: Loop, certificates: Certificates, size: int) -> None:
    data = os.urandom(min(3_000_000, size * 3_000))
    async with client_with_peer(loop, certificates, lambda: Buffered(size)) as (_, protocol, peer):
        sending = loop.create_task(peer.send(peer.record(data)))
        received = await protocol.got(len(data))
        await sending
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        assert max(map(len, data_of(protocol))) <= size


async def test_a_buffer_that_is_a_bytearray(loop: Loop, certificates: Certificates) -> None:
    """One record at a time: of the second, asyncio itself makes nothing of such a buffer."""
    async with client_with_peer(loop, certificates, BufferedRecorder) as (
        transport,
        protocol,
        peer,
    ):
        for number in range(5):
            await send_pieces(peer, transport, [peer.record(b"%d" % number * 100)])
        assert data_of(protocol) == [b"%d" % number * 100 for number in range(5)]


async def test_a_buffer_of_another_size_each_time(loop: Loop, certificates: Certificates) -> None:
    chance = random.Random(SEED)
    data = chance.randbytes(500_000)

    class Changing(Buffered):
        def get_buffer(self, sizehint: int) -> Any:
            self.buffer = bytearray(chance.choice([1, 100, 5000, 16_384, 50_000]))
            return memoryview(self.buffer)

    async with client_with_peer(loop, certificates, Changing) as (_, protocol, peer):
        sending = loop.create_task(peer.send(peer.record(data)))
        assert await protocol.got(len(data)) == data
        await sending


async def test_a_buffered_protocol_may_use_its_buffer_again_between_calls(
    loop: Loop, certificates: Certificates
) -> None:
    class Wiping(Buffered):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.buffer[:] = bytes(len(self.buffer))

    async with client_with_peer(loop, certificates, lambda: Wiping(10)) as (_, protocol, peer):
        await peer.send(b"".join(peer.record(b"%07d" % number) for number in range(50)))
        assert await protocol.got(350) == b"".join(b"%07d" % number for number in range(50))


async def test_a_buffered_protocol_that_pauses(loop: Loop, certificates: Certificates) -> None:
    class Pausing(Buffered):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    data = os.urandom(5_000)
    async with client_with_peer(loop, certificates, Pausing) as (transport, protocol, peer):
        await peer.send(peer.record(data) + peer.goodbye())
        for count in (1, 2, 3, 4):
            await protocol.happened("data", count)
            await turns(5)
            assert bytes(protocol.received) == data[: count * 1024]
            transport.resume_reading()
        assert await protocol.got(5_000) == data
        assert protocol.count("eof") == 0 or protocol.names()[-2:] == ["data", "eof"]
        transport.resume_reading()
        assert await protocol.lost() is None
        assert protocol.names() == ["made", *["data"] * 5, "eof", "lost"]


@pytest.mark.parametrize("sides", [client_with_peer, server_with_peer])
async def test_a_buffered_protocol_is_told_of_the_end(
    loop: Loop, certificates: Certificates, sides: Any
) -> None:
    async with sides(loop, certificates, Buffered) as (_, protocol, peer):
        await peer.send(peer.record(b"last words") + peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.events[1:] == [("data", b"last words"), ("eof",), ("lost", None)]


# Protocols that take over


async def test_a_protocol_that_takes_over_gets_what_follows(
    loop: Loop, certificates: Certificates
) -> None:
    """Whatever kind of protocol came before it."""
    async with client_with_peer(loop, certificates) as (transport, first, peer):
        chain = [first, Buffered(), Recorder(), Buffered(3)]
        for number, protocol in enumerate(chain):
            transport.set_protocol(protocol)
            assert transport.get_protocol() is protocol
            await send_pieces(peer, transport, [peer.record(b"%04d" % number)])
        assert [bytes(protocol.received) for protocol in chain] == [
            *(b"0000", b"0001", b"0002", b"0003")
        ]
        await peer.send(peer.goodbye())
        assert await chain[-1].lost() is None
        assert chain[0].names() == ["made", "data"]
        assert chain[1].names() == ["data"]
        assert chain[-1].names() == ["data", "data", "eof", "lost"]


@pytest.mark.parametrize("successor", [Recorder, Buffered])
async def test_a_protocol_may_give_way_while_it_gets_data(
    loop: Loop, certificates: Certificates, successor: Any
) -> None:
    class GivingWay(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(other)

    other = successor()
    async with client_with_peer(loop, certificates, GivingWay) as (transport, protocol, peer):
        await send_pieces(peer, transport, [peer.record(b"for the first")])
        assert transport.get_protocol() is other
        await send_pieces(peer, transport, map(peer.record, [b"for ", b"the ", b"other"]))
        assert data_of(protocol) == [b"for the first"]
        assert data_of(other) == [b"for ", b"the ", b"other"]
        await peer.send(peer.goodbye())
        assert await other.lost() is None
        assert not protocol.count("eof")
        assert not protocol.count("lost")


@pytest.mark.parametrize("successor", [Recorder, lambda: Buffered(7)])
async def test_a_buffered_protocol_may_give_way_in_the_middle_of_a_record(
    loop: Loop, certificates: Certificates, successor: Any
) -> None:
    class GivingWay(Buffered):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.set_protocol(other)

    other = successor()
    data = os.urandom(2_000)
    async with client_with_peer(loop, certificates, GivingWay) as (_, protocol, peer):
        await peer.send(peer.record(data))
        await other.got(2_000 - 1024)
        assert bytes(protocol.received) == data[:1024]
        assert bytes(other.received) == data[1024:]


async def test_a_protocol_that_takes_over_while_paused_gets_what_waited(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"waited")])
        other = Buffered(4)
        transport.set_protocol(other)
        transport.resume_reading()
        assert await other.got(6) == b"waited"
        assert protocol.names() == ["made"]
        assert data_of(other) == [b"wait", b"ed"]
