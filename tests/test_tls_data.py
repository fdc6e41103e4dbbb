"""TLS: what arrives, however it is cut into records and segments, and how it ends."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import ssl
from itertools import pairwise
from typing import Any

import pytest
from support.certificates import Certificates
from support.fuzz import SEED
from support.loops import Loop
from support.net import turns
from support.protocols import Recorder
from support.tls_peer import (
    VERSIONS,
    TLSPeer,
    client_with_peer,
    data_of,
    send_pieces,
    server_with_peer,
    taken,
)

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])

LARGEST = 16_384
"""Bytes that a record holds at most."""


def cut(data: bytes, *sizes: int) -> list[bytes]:
    """Cut off pieces of these sizes; the last piece is the rest."""
    ends = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
    return [data[start:end] for start, end in pairwise([*ends, len(data)])]


# Records and segments


@both_versions
async def test_a_record_may_come_byte_by_byte(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with client_with_peer(loop, certificates, version=version) as (transport, protocol, peer):
        record = peer.record(b"byte by byte")
        await send_pieces(peer, transport, [bytes([byte]) for byte in record[:-1]])
        assert data_of(protocol) == []
        await peer.send(record[-1:])
        assert await protocol.got(12) == b"byte by byte"
        assert data_of(protocol) == [b"byte by byte"]


@both_versions
@pytest.mark.parametrize("at", [1, 4, 5, 6, 20, -1])
async def test_a_record_may_be_cut_anywhere(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion, at: int
) -> None:
    """A record's first five bytes are its header, its last ones prove that it is genuine."""
    async with client_with_peer(loop, certificates, version=version) as (transport, protocol, peer):
        first, second = peer.record(b"first"), peer.record(b"second")
        at %= len(second)
        await send_pieces(peer, transport, [first + second[:at], second[at:]])
        assert data_of(protocol) == [b"first", b"second"]


@both_versions
async def test_records_that_come_together_are_delivered_together(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with client_with_peer(loop, certificates, version=version) as (_, protocol, peer):
        pieces = [b"%03d" % number for number in range(100)]
        await peer.send(b"".join(map(peer.record, pieces)))
        assert await protocol.got(300) == b"".join(pieces)
        assert data_of(protocol) == [b"".join(pieces)]


@pytest.mark.parametrize("size", [LARGEST - 1, LARGEST, LARGEST + 1, 5 * LARGEST])
async def test_records_of_the_largest_size(
    loop: Loop, certificates: Certificates, size: int
) -> None:
    data = os.urandom(size)
    async with client_with_peer(loop, certificates) as (_, protocol, peer):
        await peer.send(peer.record(data))
        assert await protocol.got(size) == data
        assert data_of(protocol) == [data]


async def test_session_tickets_are_no_data(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates, settled=False) as (transport, protocol, peer):
        tickets = peer.outgoing.read()
        assert len(tickets) > 100
        middle = len(tickets) // 2
        await send_pieces(peer, transport, [tickets[:middle]])
        assert data_of(protocol) == []
        await peer.send(tickets[middle:] + peer.record(b"after the tickets"))
        assert await protocol.got(17) == b"after the tickets"
        assert data_of(protocol) == [b"after the tickets"]


async def test_data_is_a_bytes_object_of_the_protocols_own(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        for number in range(10):
            await send_pieces(peer, transport, [peer.record(b"%d" % number * 1000)])
        assert data_of(protocol) == [b"%d" % number * 1000 for number in range(10)]
        assert {type(data) for data in data_of(protocol)} == {bytes}


@both_versions
@pytest.mark.parametrize("pieces", [1, 2])
async def test_data_that_comes_with_the_end_of_the_handshake(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion, pieces: int
) -> None:
    def then(peer: TLSPeer) -> bytes:
        return b"".join(peer.record(b"early") for _ in range(pieces))

    async with server_with_peer(loop, certificates, version=version, then=then) as (
        _,
        protocol,
        peer,
    ):
        await protocol.got(5 * pieces)
        assert protocol.events == [("made",), ("data", b"early" * pieces)]
        protocol.transport.write(b"answer")
        assert await peer.receive(6) == b"answer"


@both_versions
async def test_data_and_the_end_that_come_with_the_end_of_the_handshake(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    def then(peer: TLSPeer) -> bytes:
        return peer.record(b"hello") + peer.goodbye()

    async with server_with_peer(loop, certificates, version=version, then=then) as (_, protocol, _):
        assert await protocol.lost() is None
        assert protocol.events == [("made",), ("data", b"hello"), ("eof",), ("lost", None)]


async def test_who_pauses_when_connected_gets_nothing_that_came_with_the_handshake(
    loop: Loop, certificates: Certificates
) -> None:
    class Pausing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async with server_with_peer(
        loop, certificates, Pausing, then=lambda peer: peer.record(b"early")
    ) as (transport, protocol, _):
        await taken(transport)
        assert protocol.names() == ["made"]
        transport.resume_reading()
        assert await protocol.got(5) == b"early"


@both_versions
@pytest.mark.parametrize("server_side", [True, False])
async def test_whatever_the_sizes_and_cuts_everything_arrives_in_order(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion, server_side: bool
) -> None:
    chance = random.Random(SEED)
    sizes = [chance.choice([1, 2, 100, 5000, LARGEST, 40_000]) for _ in range(60)]
    data = chance.randbytes(sum(sizes))
    sides = server_with_peer if server_side else client_with_peer
    async with sides(loop, certificates, version=version) as (transport, protocol, peer):
        encrypted = b"".join(map(peer.record, cut(data, *sizes)))
        left = len(encrypted)
        cuts = []
        while left > 0:
            cuts.append(min(left, chance.choice([1, 3, 5, 1000, 16_000, 100_000])))
            left -= cuts[-1]
        sending = loop.create_task(send_pieces(peer, transport, cut(encrypted, *cuts)))
        while len(protocol.received) < len(data):
            await protocol.happened("data", protocol.count("data") + 1)
            if chance.random() < 0.3:
                transport.pause_reading()
                await turns(chance.randrange(4))
                transport.resume_reading()
        await sending
        assert hashlib.sha256(protocol.received).digest() == hashlib.sha256(data).digest()
        assert b"" not in data_of(protocol)


# The end


@both_versions
async def test_a_record_and_the_end_in_one_segment(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with client_with_peer(loop, certificates, version=version) as (transport, protocol, peer):
        await peer.send(peer.record(b"last ") + peer.record(b"words") + peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.events[1:] == [("data", b"last words"), ("eof",), ("lost", None)]
        assert transport.is_closing()
        await peer.is_answered()


@both_versions
async def test_an_end_that_is_cut_in_two(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    async with client_with_peer(loop, certificates, version=version) as (transport, protocol, peer):
        record, goodbye = peer.record(b"last words"), peer.goodbye()
        await send_pieces(peer, transport, [record + goodbye[:7]])
        assert protocol.events[1:] == [("data", b"last words")]
        await peer.send(goodbye[7:])
        assert await protocol.lost() is None
        assert protocol.events[2:] == [("eof",), ("lost", None)]


@pytest.mark.parametrize("rest", [0, 3, 30])
async def test_an_end_that_nobody_announced_after_data(
    loop: Loop, certificates: Certificates, rest: int
) -> None:
    """There may be a part of a record before it, which is of no use."""
    async with client_with_peer(loop, certificates) as (_, protocol, peer):
        await peer.send(peer.record(b"data") + peer.record(bytes(100))[:rest])
        peer.sock.shutdown(socket.SHUT_WR)
        assert await protocol.lost() is None
        assert protocol.events[1:] == [("data", b"data"), ("eof",), ("lost", None)]


async def test_nothing_that_follows_a_broken_record_is_delivered(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (_, protocol, peer):
        good, broken, more = (peer.record(word) for word in (b"good", b"broken", b"more"))
        broken = broken[:-1] + bytes([broken[-1] ^ 1])
        await peer.send(good + broken + more)
        error = await protocol.lost()
        assert isinstance(error, ssl.SSLError)
        assert "DECRYPTION_FAILED_OR_BAD_RECORD_MAC" in str(error).upper().replace(" ", "_")
        # What is before it asyncio drops, too, if they come together.
        assert protocol.received in (b"", b"good")
        assert protocol.names()[-1] == "lost"
        assert protocol.count("eof") == 0


async def test_what_comes_after_a_close_is_not_delivered(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.close()
        await peer.send(peer.record(b"too late"))
        assert isinstance(await protocol.lost(), ssl.SSLError)
        assert protocol.received == b""


async def test_a_tracer_sees_what_is_read_and_written(
    loop: Loop, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who puts methods of its own into `ssl.SSLObject` has them called."""
    seen = []
    read, write = ssl.SSLObject.read, ssl.SSLObject.write

    def traced_read(self: ssl.SSLObject, *arguments: Any) -> Any:
        data = read(self, *arguments)
        seen.append(data)
        return data

    def traced_write(self: ssl.SSLObject, data: Any) -> int:
        seen.append(bytes(data))
        return write(self, data)

    async with client_with_peer(loop, certificates):
        pass  # what is known of the class before it is traced is of no use
    monkeypatch.setattr(ssl.SSLObject, "read", traced_read)
    monkeypatch.setattr(ssl.SSLObject, "write", traced_write)
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        seen.clear()
        transport.write(b"question")
        assert await peer.receive(8) == b"question"
        await peer.send(peer.record(b"answer"))
        assert await protocol.got(6) == b"answer"
        assert b"question" in seen
        assert b"answer" in seen
