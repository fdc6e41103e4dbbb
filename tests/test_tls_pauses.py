"""TLS: a reader that pauses gets nothing meanwhile, and everything in the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.net import turns
from support.protocols import Recorder
from support.tls_peer import VERSIONS, client_with_peer, data_of, send_pieces, taken

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


class PausesOnData(Recorder):
    """Pauses whenever it gets something."""

    def data_received(self, data: bytes) -> None:
        self.transport.pause_reading()
        super().data_received(data)


async def test_nothing_is_delivered_while_paused_and_nothing_lost(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates, PausesOnData) as (transport, protocol, peer):
        await send_pieces(peer, transport, [peer.record(b"first")])
        assert not transport.is_reading()
        await send_pieces(peer, transport, map(peer.record, [b"second", b"third", b"fourth"]))
        assert data_of(protocol) == [b"first"]
        transport.resume_reading()
        assert transport.is_reading()
        assert data_of(protocol) == [b"first"]  # it is delivered in a turn of its own
        await protocol.got(22)
        assert data_of(protocol) == [b"first", b"secondthirdfourth"]
        assert not transport.is_reading()


async def test_a_part_of_a_record_that_comes_before_a_pause_is_kept(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates, PausesOnData) as (transport, protocol, peer):
        first, second = peer.record(b"first"), peer.record(b"second")
        await send_pieces(peer, transport, [first + second[:3], second[3:9]])
        transport.resume_reading()
        await turns(3)
        assert data_of(protocol) == [b"first"]
        await peer.send(second[9:])
        assert await protocol.got(11) == b"firstsecond"


async def test_a_pause_that_is_taken_back_at_once_loses_nothing(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"waits")])
        transport.resume_reading()
        transport.pause_reading()
        await turns(3)
        assert protocol.received == b""
        transport.resume_reading()
        transport.resume_reading()
        await protocol.got(5)
        await send_pieces(peer, transport, [peer.record(b" more")])
        assert data_of(protocol) == [b"waits", b" more"]


async def test_pausing_and_resuming_twice_is_no_error(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.resume_reading()
        transport.pause_reading()
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"once")])
        transport.resume_reading()
        transport.resume_reading()
        await taken(transport)
        assert data_of(protocol) == [b"once"]


async def test_pausing_and_resuming_after_the_end_does_nothing(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        await peer.send(peer.record(b"last words") + peer.goodbye())
        await protocol.lost()
        transport.pause_reading()
        transport.resume_reading()
        await turns(5)
        assert protocol.names() == ["made", "data", "eof", "lost"]


async def test_an_end_that_comes_while_paused_waits(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"last words") + peer.goodbye()])
        peer.sock.shutdown(socket.SHUT_WR)
        await turns(5)
        assert protocol.names() == ["made"]
        transport.resume_reading()
        assert await protocol.lost() is None
        assert protocol.events[1:] == [("data", b"last words"), ("eof",), ("lost", None)]


async def test_a_close_while_paused_drops_what_was_not_delivered(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        await send_pieces(peer, transport, [peer.record(b"never read")])
        transport.close()
        assert isinstance(await protocol.lost(), ssl.SSLError)
        assert protocol.received == b""


async def test_a_close_while_paused_with_nothing_to_read_ends_well(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        transport.close()
        assert await peer.receive(1) == b""
        await peer.send(peer.goodbye())
        assert await protocol.lost() is None


async def test_a_paused_reader_stops_its_peer(loop: Loop, certificates: Certificates) -> None:
    data = os.urandom(5_000_000)
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.pause_reading()
        sending = loop.create_task(peer.send(peer.record(data)))
        low, high = transport.get_read_buffer_limits()
        while transport.get_read_buffer_size() < high:
            await turns(1)
        await turns(20)
        assert not sending.done()
        assert low < high <= transport.get_read_buffer_size() < 2 * high
        transport.resume_reading()
        assert await protocol.got(len(data)) == data
        await sending
        assert transport.get_read_buffer_size() == 0


@both_versions
async def test_a_reader_that_pauses_now_and_then_gets_all_of_a_large_payload(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    data = os.urandom(6_000_000)
    async with client_with_peer(loop, certificates, PausesOnData, version=version) as (
        transport,
        protocol,
        peer,
    ):
        sending = loop.create_task(peer.send(peer.record(data)))
        pauses = 0
        while len(protocol.received) < len(data):
            await protocol.happened("data", pauses + 1)
            pauses += 1
            before = len(protocol.received)
            await turns(pauses % 4)
            assert len(protocol.received) == before
            transport.resume_reading()
        await sending
        assert hashlib.sha256(protocol.received).digest() == hashlib.sha256(data).digest()
        assert pauses > 10


async def test_data_flows_both_ways_at_once(loop: Loop, certificates: Certificates) -> None:
    to_us, to_them = os.urandom(4_000_000), os.urandom(4_000_000)
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(to_them)
        sending = loop.create_task(peer.send(peer.record(to_us)))
        received, _ = await asyncio.gather(peer.receive(len(to_them)), sending)
        assert received == to_them
        assert await protocol.got(len(to_us)) == to_us
