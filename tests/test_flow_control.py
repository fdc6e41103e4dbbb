"""Flow control: when a transport asks its protocol to pause and to resume writing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import connected, listening, receive_exactly, turns
from support.protocols import Recorder

KIB = 1024
MIB = 1024 * KIB


class Gauged(Recorder):
    """Notes how much is buffered whenever it is paused or resumed."""

    def record(self, *event: object) -> None:
        if event[0] in ("pause", "resume"):
            event = (*event, self.transport.get_write_buffer_size())
        super().record(*event)

    def flow(self) -> list[str]:
        return [name for name in self.names() if name in ("pause", "resume")]


async def test_the_limits_at_first(loop: Loop) -> None:
    async with connected(loop) as (transport, _, _):
        assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)
        assert transport.get_write_buffer_size() == 0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, (16 * KIB, 64 * KIB)),
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 1000, "low": 10}, (10, 1000)),
        ({"high": 0}, (0, 0)),
        ({"high": 0, "low": 0}, (0, 0)),
        ({"high": 7, "low": 7}, (7, 7)),
        ({"high": 10**15, "low": 1}, (1, 10**15)),
    ],
)
async def test_limits_can_be_set(
    loop: Loop, limits: dict[str, int], expected: tuple[int, int]
) -> None:
    async with connected(loop) as (transport, _, _):
        transport.set_write_buffer_limits(**limits)
        assert transport.get_write_buffer_limits() == expected


@pytest.mark.parametrize(
    "limits", [{"high": 10, "low": 20}, {"low": -1}, {"high": -1}, {"high": -1, "low": -2}]
)
async def test_limits_must_be_ordered(loop: Loop, limits: dict[str, int]) -> None:
    async with connected(loop) as (transport, _, _):
        with pytest.raises(ValueError, match=r"^high \(.*\) must be >= low \(.*\) must be >= 0$"):
            transport.set_write_buffer_limits(**limits)
        assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)


async def test_small_writes_never_pause(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        for _ in range(100):
            transport.write(bytes(100))
            await receive_exactly(loop, peer, 100)
        assert protocol.flow() == []


async def test_a_write_beyond_the_high_mark_pauses_and_the_low_mark_resumes(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        low, high = transport.get_write_buffer_limits()
        transport.write(bytes(20 * MIB))
        assert protocol.flow() == ["pause"]
        assert protocol.events[-1][1] > high
        transport.write(b"more")
        assert protocol.flow() == ["pause"]
        await receive_exactly(loop, peer, 20 * MIB + 4)
        await protocol.happened("resume")
        assert protocol.flow() == ["pause", "resume"]
        assert protocol.events[-1][1] <= low


async def test_it_pauses_and_resumes_again_and_again(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        low, high = transport.get_write_buffer_limits()
        for times in range(1, 6):
            transport.write(bytes(10 * MIB))
            await receive_exactly(loop, peer, 10 * MIB)
            await protocol.happened("resume", times)
        assert protocol.flow() == ["pause", "resume"] * 5
        for event in protocol.events:
            if event[0] == "pause":
                assert event[1] > high
            if event[0] == "resume":
                assert event[1] <= low


async def test_nothing_pauses_up_to_the_high_mark(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=100 * MIB)
        transport.write(bytes(20 * MIB))
        assert transport.get_write_buffer_size() > 0
        await receive_exactly(loop, peer, 20 * MIB)
        assert protocol.flow() == []


async def test_with_a_high_mark_of_zero_anything_buffered_pauses(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=0)
        transport.write(bytes(10 * MIB))
        assert protocol.flow() == ["pause"]
        await receive_exactly(loop, peer, 10 * MIB)
        await protocol.happened("resume")
        assert protocol.events[-1] == ("resume", 0)


async def test_lowering_the_limits_pauses_at_once_or_with_the_next_write(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=100 * MIB)
        transport.write(bytes(20 * MIB))
        assert protocol.flow() == []
        transport.set_write_buffer_limits(high=1000)
        transport.write(b"x")
        assert protocol.flow() == ["pause"]
        await receive_exactly(loop, peer, 20 * MIB + 1)
        await protocol.happened("resume")


async def test_the_buffer_size_counts_down(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        transport.write(bytes(10 * MIB))
        first = transport.get_write_buffer_size()
        assert 0 < first <= 10 * MIB
        await receive_exactly(loop, peer, 5 * MIB)
        await turns(2)
        second = transport.get_write_buffer_size()
        assert second < first
        await receive_exactly(loop, peer, 5 * MIB)
        await turns(2)
        assert transport.get_write_buffer_size() == 0


async def test_a_paused_protocol_may_write_when_resumed(loop: Loop) -> None:
    class Refills(Gauged):
        def resume_writing(self) -> None:
            super().resume_writing()
            if self.count("resume") < 3:
                self.transport.write(bytes(10 * MIB))

    async with connected(loop, Refills) as (transport, protocol, peer):
        transport.write(bytes(10 * MIB))
        await receive_exactly(loop, peer, 30 * MIB)
        await protocol.happened("resume", 3)
        assert protocol.flow() == ["pause", "resume"] * 3


async def test_a_failing_pause_writing_is_reported_and_data_still_flows(
    loop: Loop, strays: Strays
) -> None:
    class Fails(Recorder):
        def pause_writing(self) -> None:
            raise LookupError("pause_writing")

        def resume_writing(self) -> None:
            super().resume_writing()
            raise LookupError("resume_writing")

    async with connected(loop, Fails) as (transport, protocol, peer):
        transport.write(bytes(10 * MIB))
        context = strays.take_one()
        assert context["message"] == "protocol.pause_writing() failed"
        assert isinstance(context["exception"], LookupError)
        assert context["transport"] is transport
        assert context["protocol"] is protocol
        await receive_exactly(loop, peer, 10 * MIB)
        await protocol.happened("resume")
        assert strays.take_one()["message"] == "protocol.resume_writing() failed"


async def test_closing_while_paused_ends_without_resuming(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, _):
        transport.write(bytes(10 * MIB))
        transport.abort()
        await protocol.lost()
        assert protocol.flow() == ["pause"]


async def test_a_transport_reads_while_its_writing_is_paused(loop: Loop) -> None:
    async with connected(loop, Gauged) as (transport, protocol, peer):
        transport.write(bytes(10 * MIB))
        assert protocol.flow() == ["pause"]
        await loop.sock_sendall(peer, b"hello")
        assert await protocol.got(5) == b"hello"
        await receive_exactly(loop, peer, 10 * MIB)


async def test_fifty_mebibytes_pass_a_slow_reader_unharmed(loop: Loop) -> None:
    """The writer heeds its flow control, so the buffer stays near the high mark."""
    block = os.urandom(MIB)
    total = 50 * MIB
    sent, received = hashlib.sha256(), hashlib.sha256()
    most = 0

    def read(address: tuple[str, int]) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
            while data := sock.recv(16 * KIB):
                received.update(data)

    class Writable(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.may_write = asyncio.Event()
            self.may_write.set()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.may_write.clear()

        def resume_writing(self) -> None:
            super().resume_writing()
            self.may_write.set()

    with listening() as server:
        reader = threading.Thread(target=read, args=(server.getsockname(),))
        reader.start()
        accepted, _ = await loop.run_in_executor(None, server.accept)
    transport, protocol = await loop.connect_accepted_socket(Writable, accepted)
    view = memoryview(block)
    piece = 10_007
    for offset in range(0, total, piece):
        start = offset % (MIB - piece)
        data = view[start : start + min(piece, total - offset)]
        transport.write(data)
        sent.update(data)
        most = max(most, transport.get_write_buffer_size())
        await protocol.may_write.wait()
    transport.close()
    await protocol.lost()
    reader.join()
    assert received.hexdigest() == sent.hexdigest()
    assert most <= 64 * KIB + piece
    assert protocol.count("pause") == protocol.count("resume") > 0
    await turns(1)
