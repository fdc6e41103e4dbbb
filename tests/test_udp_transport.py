"""The datagram transport itself: its life, what waits in it, and who is told of failures."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import logging
import socket
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.datagrams import HERE, Endpoint, address, endpoint
from support.leaks import Strays
from support.loops import STDLIB, Loop
from support.net import free_port, turns
from support.protocols import DatagramRecorder

HEADER = 8 if sys.version_info >= (3, 13) else 0


@asynccontextmanager
async def blocked(
    loop: Loop, tmp_path: Path, factory: Any = DatagramRecorder
) -> AsyncIterator[tuple[Endpoint, socket.socket]]:
    """An endpoint whose peer, the socket, receives nothing; datagrams wait in the transport."""
    path = str(tmp_path / "receiver")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.setblocking(False)
        async with endpoint(loop, factory, remote_addr=path, family=socket.AF_UNIX) as (
            transport,
            protocol,
        ):
            while not transport.get_write_buffer_size():  # type: ignore[attr-defined]
                transport.sendto(b"filler")
            yield (transport, protocol), receiver


async def receive_until(loop: Loop, receiver: socket.socket, last: bytes) -> list[bytes]:
    received: list[bytes] = []
    while received[-1:] != [last]:
        received.append(await loop.sock_recv(receiver, 1 << 20))
    return received


# What it is


async def test_its_repr_names_it_its_descriptor_and_its_state(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        fd = transport.get_extra_info("socket").fileno()
        assert f"DatagramTransport fd={fd} read=polling write=<idle, bufsize=0>" in repr(transport)
        transport.close()
        assert "closing" in repr(transport)
        await protocol.lost()
        await turns(2)
        assert "closed" in repr(transport)


async def test_it_can_be_referenced_weakly_and_is_freed_when_closed(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        reference = weakref.ref(transport)
        assert reference() is transport
    protocol.transport = None
    del transport
    gc.collect()
    assert reference() is None


async def test_one_that_is_forgotten_warns_and_closes_its_socket(loop: Loop) -> None:
    transport, protocol = await loop.create_datagram_endpoint(DatagramRecorder, local_addr=HERE)
    sock = transport.get_extra_info("socket")
    # Nobody else knows it then: the loop's table of transports is weak, a watch is not.
    transport.pause_reading()  # type: ignore[attr-defined]
    protocol.transport = None
    known = [transport]
    del transport
    with pytest.warns(ResourceWarning, match=r"unclosed transport <.*DatagramTransport"):
        known.clear()
    assert sock.fileno() == -1


async def test_it_knows_its_protocol_and_takes_another(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, first):
        assert transport.get_protocol() is first
        second = DatagramRecorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.sendto(b"for the second", address(transport))
        await second.happened("datagram")
        assert first.names() == ["made"]
        transport.set_protocol(first)


async def test_a_socket_of_a_class_of_its_own_sends_and_receives_in_its_way(loop: Loop) -> None:
    class Stamped(socket.socket):
        def sendto(self, data: Any, *args: Any) -> int:
            return super().sendto(b"stamped " + bytes(data), *args)

        def recvfrom(self, *args: Any) -> Any:
            data, peer = super().recvfrom(*args)
            return data + b" and seen", peer

    sock = Stamped(type=socket.SOCK_DGRAM)
    sock.bind(HERE)
    async with endpoint(loop, sock=sock) as (transport, protocol):
        transport.sendto(b"letter", address(transport))
        assert (await protocol.happened("datagram"))[1] == b"stamped letter and seen"


# Receiving


async def test_reading_can_be_paused(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        reading: Any = transport
        assert reading.is_reading()
        reading.pause_reading()
        reading.pause_reading()
        assert not reading.is_reading()
        transport.sendto(b"waits", address(transport))
        await turns(5)
        assert protocol.names() == ["made"]
        reading.resume_reading()
        reading.resume_reading()
        assert (await protocol.happened("datagram"))[1] == b"waits"


async def test_a_protocol_that_closes_is_told_of_no_more_datagrams(loop: Loop) -> None:
    class OneIsEnough(DatagramRecorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.close()

    async with endpoint(loop, OneIsEnough, local_addr=HERE) as (transport, protocol):
        for number in range(5):
            transport.sendto(b"%d" % number, address(transport))
        await protocol.lost()
        assert protocol.names() == ["made", "datagram", "lost"]


async def test_the_largest_datagrams_arrive_whole(loop: Loop) -> None:
    data = bytes(range(256)) * 800
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        transport.sendto(data[:65507], address(transport))
        assert (await protocol.happened("datagram"))[1] == data[:65507]
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        async with endpoint(loop, sock=right) as (_, protocol):
            left.send(data)
            assert (await protocol.happened("datagram"))[1] == data


def test_ctrl_c_in_a_protocol_ends_the_run_and_loses_no_datagram(loop: Loop) -> None:
    class Interrupted(DatagramRecorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"0":
                raise KeyboardInterrupt

    async def begin() -> Endpoint:
        return await loop.create_datagram_endpoint(Interrupted, local_addr=HERE)

    transport, protocol = loop.run_until_complete(begin())
    for number in range(3):
        transport.sendto(b"%d" % number, address(transport))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(protocol.happened("datagram", 3))
    loop.run_until_complete(protocol.happened("datagram", 3))
    assert [event[1] for event in protocol.events[1:]] == [b"0", b"1", b"2"]
    transport.close()
    loop.run_until_complete(protocol.lost())
    loop.run_until_complete(turns(2))


async def test_callbacks_run_in_the_context_of_the_endpoint(loop: Loop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    class Asks(DatagramRecorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.record("context", variable.get())
            variable.set("of connection_made")

        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.record("context", variable.get())

    variable.set("of the maker")
    async with endpoint(loop, Asks, local_addr=HERE) as (transport, protocol):
        variable.set("later")
        transport.sendto(b"x", address(transport))
        await protocol.happened("context", 2)
        assert [event[1] for event in protocol.events if event[0] == "context"] == [
            "of the maker",
            "of the maker",
        ]


# What waits


async def test_what_waits_is_counted(loop: Loop, loop_kind: str, tmp_path: Path) -> None:
    if loop_kind == STDLIB and sys.version_info[:3] == (3, 13, 0):
        pytest.skip("3.13.0 counts headers when a datagram begins to wait, not when it is sent")
    async with blocked(loop, tmp_path) as ((transport, _), receiver):
        sized: Any = transport
        begun = sized.get_write_buffer_size()
        assert begun == len(b"filler") + HEADER
        transport.sendto(b"12345")
        assert sized.get_write_buffer_size() == begun + 5 + HEADER
        transport.sendto(bytearray(1))
        assert sized.get_write_buffer_size() == begun + 6 + 2 * HEADER
        await receive_until(loop, receiver, b"\0")
        assert sized.get_write_buffer_size() == 0


async def test_empty_datagrams_wait_their_turn(loop: Loop, tmp_path: Path) -> None:
    async with blocked(loop, tmp_path) as ((transport, _), receiver):
        transport.sendto(b"")
        transport.sendto(b"last")
        received = await receive_until(loop, receiver, b"last")
        expected = [b"", b"last"] if sys.version_info >= (3, 13) else [b"last"]
        assert [data for data in received if data != b"filler"] == expected


async def test_what_waits_is_not_changed_by_its_owner(loop: Loop, tmp_path: Path) -> None:
    async with blocked(loop, tmp_path) as ((transport, _), receiver):
        data = bytearray(b"as it was")
        transport.sendto(data)
        data[:] = b"different"
        transport.sendto(b"last")
        assert b"as it was" in await receive_until(loop, receiver, b"last")


async def test_marks_decide_when_the_protocol_pauses_and_resumes(
    loop: Loop, tmp_path: Path
) -> None:
    async with blocked(loop, tmp_path) as ((transport, protocol), receiver):
        limited: Any = transport
        assert limited.get_write_buffer_limits() == (16384, 65536)
        limited.set_write_buffer_limits(high=1000, low=0)
        assert limited.get_write_buffer_limits() == (0, 1000)
        assert not protocol.count("pause")
        transport.sendto(bytes(1000))
        assert protocol.count("pause") == 1
        transport.sendto(b"last")
        assert protocol.count("pause") == 1
        await receive_until(loop, receiver, b"last")
        if sys.version_info[:3] != (3, 13, 0):
            await protocol.happened("resume")
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            limited.set_write_buffer_limits(high=1, low=2)
        limited.set_write_buffer_limits(high=0)


async def test_close_sends_what_waits(loop: Loop, tmp_path: Path) -> None:
    async with blocked(loop, tmp_path) as ((transport, protocol), receiver):
        transport.sendto(b"last")
        transport.close()
        await turns(3)
        assert not protocol.count("lost")
        received = await receive_until(loop, receiver, b"last")
        assert set(received) == {b"filler", b"last"}
        assert await protocol.lost() is None


async def test_abort_drops_what_waits(loop: Loop, tmp_path: Path) -> None:
    async with blocked(loop, tmp_path) as ((transport, protocol), receiver):
        transport.sendto(b"never sent")
        transport.abort()
        assert await protocol.lost() is None
        await turns(2)
        received = []
        while True:
            try:
                received.append(receiver.recv(100))
            except BlockingIOError:
                break
        assert set(received) == {b"filler"}


async def test_each_datagram_for_a_receiver_that_is_gone_is_an_error(
    loop: Loop, tmp_path: Path
) -> None:
    async with blocked(loop, tmp_path) as ((transport, protocol), receiver):
        transport.sendto(b"one")
        transport.sendto(b"two")
        receiver.close()
        # Each datagram that waited is tried and refused: "filler", "one", "two".
        await protocol.happened("error", 3)
        assert not transport.is_closing()


# Failures


async def test_what_error_received_raises_goes_to_who_sends(loop: Loop) -> None:
    class Fails(DatagramRecorder):
        def error_received(self, exc: Exception) -> None:
            raise LookupError from exc

    async with endpoint(loop, Fails, local_addr=HERE) as (transport, _):
        with pytest.raises(LookupError):
            transport.sendto(bytes(100_000), address(transport))
        assert not transport.is_closing()


async def test_what_error_received_raises_is_reported_when_it_is_the_loop_that_calls(
    loop: Loop, strays: Strays
) -> None:
    class Fails(DatagramRecorder):
        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            raise LookupError("error_received")

    async with endpoint(loop, Fails, remote_addr=("127.0.0.1", free_port())) as (
        transport,
        protocol,
    ):
        transport.sendto(b"anyone there?")
        await protocol.happened("error")
        await turns(2)
        context = strays.take_one()
        assert context["message"].startswith("Exception in callback ")
        assert isinstance(context["exception"], LookupError)
        assert not transport.is_closing()


async def test_data_that_is_not_contiguous_ends_the_transport(loop: Loop, strays: Strays) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        transport.sendto(memoryview(b"every other")[::2], address(transport))
        assert isinstance(await protocol.lost(), BufferError)
        assert strays.take_one()["message"] == "Fatal write error on datagram transport"


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
async def test_a_protocol_that_fails_to_pause_or_resume_is_reported(
    loop: Loop, method: str, tmp_path: Path, strays: Strays
) -> None:
    if sys.version_info[:3] == (3, 13, 0):
        # Its own transport does not always come back to nothing; see above.
        limits = (1000, 500)
    else:
        limits = (1000, 0)

    def fails(self: DatagramRecorder) -> None:
        self.record(method)
        raise LookupError(method)

    factory: Callable[[], Any] = type("Fails", (DatagramRecorder,), {method: fails})
    async with blocked(loop, tmp_path, factory) as ((transport, protocol), receiver):
        transport.set_write_buffer_limits(*limits)  # type: ignore[attr-defined]
        transport.sendto(bytes(1001))
        transport.sendto(b"last")
        await receive_until(loop, receiver, b"last")
        await protocol.happened(method)
        context = strays.take_one()
        assert context["message"] == f"protocol.{method}() failed"
        assert context["transport"] is transport
        assert context["protocol"] is protocol
        assert not transport.is_closing()


async def test_many_datagrams_after_the_end_are_warned_of(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        endpoint(loop, local_addr=HERE) as (server, received),
        endpoint(loop, remote_addr=address(server)) as (client, protocol),
    ):
        client.abort()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(10):
                client.sendto(b"too late")
        warnings = [record.getMessage() for record in caplog.records]
        assert warnings == ["socket.send() raised exception."] * 6
        await protocol.lost()
        await turns(3)
        assert received.names() == ["made"]


async def test_a_datagram_after_the_end_does_no_harm(
    loop: Loop, loop_kind: str, strays: Strays
) -> None:
    async with (
        endpoint(loop, local_addr=HERE) as (one, protocol),
        endpoint(loop, local_addr=HERE) as (two, received),
    ):
        one.close()
        await protocol.lost()
        await turns(2)
        if loop_kind == STDLIB:
            # Its socket is gone, which it has not thought of.
            with pytest.raises(AttributeError):
                one.sendto(b"too late", address(two))
            strays.take()
        else:
            one.sendto(b"too late", address(two))
        await turns(3)
        assert received.names() == ["made"]


async def test_an_error_of_the_protocols_start_is_reported_and_the_endpoint_works(
    loop: Loop, strays: Strays
) -> None:
    class Fails(DatagramRecorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise LookupError("connection_made")

    async with endpoint(loop, Fails, local_addr=HERE) as (transport, protocol):
        assert isinstance(strays.take_one()["exception"], LookupError)
        transport.sendto(b"works", address(transport))
        assert (await protocol.happened("datagram"))[1] == b"works"


async def test_a_refused_datagram_leaves_no_watch_behind(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        transport.sendto(bytes(70_000), address(transport))
        assert (await protocol.happened("error"))[1].errno == errno.EMSGSIZE
        assert "write=<idle, bufsize=0>" in repr(transport)
