"""TLS: a peer that does not read pauses the writer, and gets everything in the end."""

from __future__ import annotations

import hashlib
import os
import ssl
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop
from support.net import turns
from support.protocols import Recorder
from support.tls_peer import VERSIONS, client_with_peer

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


async def fill(transport: Any, protocol: Any, data: bytes) -> int:
    """Write until the protocol is asked to pause; how often."""
    times = 0
    while not protocol.count("pause"):
        transport.write(data)
        times += 1
        assert times < 1000
        await turns(1)
    return times


async def test_the_limits_of_the_write_buffer(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, _):
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        transport.set_write_buffer_limits(high=4000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        transport.set_write_buffer_limits(high=500, low=500)
        assert transport.get_write_buffer_limits() == (500, 500)
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            transport.set_write_buffer_limits(high=1, low=2)
        assert transport.get_read_buffer_limits() == (64 * 1024, 256 * 1024)


@both_versions
@pytest.mark.parametrize("high", [None, 1_000, 2_000_000])
async def test_a_peer_that_does_not_read_pauses_the_writer_and_gets_all_in_the_end(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion, high: int | None
) -> None:
    data = os.urandom(100_000)
    async with client_with_peer(loop, certificates, version=version) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high)
        low, high = transport.get_write_buffer_limits()
        times = await fill(transport, protocol, data)
        assert transport.get_write_buffer_size() >= high
        transport.write(data)  # which it may all the same
        transport.writelines([data, data])
        assert protocol.names() == ["made", "pause"]
        expected = data * (times + 3)
        received = await peer.receive(len(expected))
        assert hashlib.sha256(received).digest() == hashlib.sha256(expected).digest()
        await protocol.happened("resume")
        assert transport.get_write_buffer_size() <= low
        assert protocol.names() == ["made", "pause", "resume"]


async def test_a_writer_that_is_resumed_may_be_paused_again(
    loop: Loop, certificates: Certificates
) -> None:
    class Greedy(Recorder):
        written = 0

        def resume_writing(self) -> None:
            super().resume_writing()
            while self.count("pause") == self.count("resume") < 5:
                self.transport.write(bytes(10_000))
                self.written += 10_000

    async with client_with_peer(loop, certificates, Greedy) as (transport, protocol, peer):
        times = await fill(transport, protocol, bytes(10_000))
        received = 0
        while protocol.count("resume") < 5 or received < times * 10_000 + protocol.written:
            received += len(await peer.receive(10_000))
        assert protocol.names() == ["made", *["pause", "resume"] * 5]


async def test_a_large_write_is_sent_while_nothing_else_happens(
    loop: Loop, certificates: Certificates
) -> None:
    data = os.urandom(8_000_000)
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(data)
        received = await peer.receive(len(data))
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        assert protocol.count("pause") == protocol.count("resume")


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
async def test_a_protocol_that_fails_when_paused_or_resumed_goes_on(
    loop: Loop, certificates: Certificates, strays: Strays, method: str
) -> None:
    class Failing(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            if method == "pause_writing":
                raise LookupError(method)

        def resume_writing(self) -> None:
            super().resume_writing()
            if method == "resume_writing":
                raise LookupError(method)

    async with client_with_peer(loop, certificates, Failing) as (transport, protocol, peer):
        times = await fill(transport, protocol, bytes(100_000))
        assert await peer.receive(times * 100_000) == bytes(times * 100_000)
        await protocol.happened("resume")
        context = strays.take_one()
        assert context["message"] == f"protocol.{method}() failed"
        assert isinstance(context["exception"], LookupError)
        assert context["transport"] is transport
        transport.write(b"goes on")
        assert await peer.receive(7) == b"goes on"


async def test_an_abort_drops_what_was_not_sent(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, _):
        await fill(transport, protocol, bytes(100_000))
        assert transport.get_write_buffer_size() > 0
        transport.abort()
        assert await protocol.lost() is None
        assert transport.get_write_buffer_size() == 0


async def test_reading_goes_on_while_writing_is_paused(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        await fill(transport, protocol, bytes(100_000))
        await peer.send(peer.record(b"still heard"))
        assert await protocol.got(11) == b"still heard"
        assert protocol.count("resume") == 0
