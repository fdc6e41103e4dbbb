"""``sock_*`` calls that must wait: what they watch meanwhile, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.leaks import Ledger
from support.loops import STDLIB, Loop
from support.net import receive_exactly, socket_pair, tcp_socket_pair, turns

Pair = tuple[socket.socket, socket.socket]
TAKEN = "what the standard loop took in the turn before is lost with the task"


@pytest.fixture
def pair(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """Two connected non-blocking sockets."""
    with socket_pair() as sockets:
        yield sockets


@pytest.fixture
def datagram_pair(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """Two connected non-blocking unix datagram sockets."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and see it end so."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# What they are


@pytest.mark.parametrize(
    "name",
    [
        "sock_recv",
        "sock_recv_into",
        "sock_recvfrom",
        "sock_recvfrom_into",
        "sock_sendall",
        "sock_sendto",
        "sock_sendfile",
        "sock_connect",
        "sock_accept",
    ],
)
def test_they_are_coroutine_functions_with_the_parameters_of_asyncio(loop: Loop, name: str) -> None:
    method = getattr(loop, name)
    assert inspect.iscoroutinefunction(method)
    standard = inspect.signature(getattr(asyncio.SelectorEventLoop, name))
    assert list(standard.parameters)[1:] == list(inspect.signature(method).parameters)


async def test_a_call_can_be_made_a_task_or_awaited_in_any_way(loop: Loop, pair: Pair) -> None:
    call = loop.sock_recv(pair[0], 10)
    assert asyncio.iscoroutine(call)
    task = asyncio.create_task(call)
    waits = asyncio.ensure_future(asyncio.wait_for(loop.sock_recv(pair[1], 10), 10))
    await turns(3)
    pair[1].send(b"one")
    pair[0].send(b"two")
    assert await asyncio.gather(task, waits) == [b"one", b"two"]


async def test_nothing_happens_before_a_call_is_awaited(loop: Loop, pair: Pair) -> None:
    pair[1].send(b"data")
    call = loop.sock_recv(pair[0], 10)
    assert pair[0].recv(10, socket.MSG_PEEK) == b"data"
    assert await call == b"data"


# Cancellation

TAKERS: dict[str, Callable[[Loop, socket.socket], Awaitable[Any]]] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 100),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(100)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 100),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(100)),
}


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("later", range(4))
async def test_a_receiver_cancelled_at_any_turn_has_taken_nothing(
    loop: Loop, loop_kind: str, datagram_pair: Pair, name: str, later: int
) -> None:
    if loop_kind == STDLIB:
        pytest.skip(TAKEN)
    left, right = datagram_pair
    task = asyncio.ensure_future(TAKERS[name](loop, left))
    await turns(2)
    right.send(b"kept")
    await turns(later)
    if task.done():
        assert later > 1
    else:
        await cancelled(task)
        assert await loop.sock_recv(left, 100) == b"kept"
    assert loop.remove_reader(left) is False


@pytest.mark.parametrize("later", range(4))
async def test_an_accept_cancelled_at_any_turn_has_taken_no_connection(
    loop: Loop, loop_kind: str, later: int
) -> None:
    if loop_kind == STDLIB:
        pytest.skip(TAKEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        task = loop.create_task(loop.sock_accept(server))
        await turns(2)
        with socket.create_connection(server.getsockname()) as client:
            await turns(later)
            if not task.done():
                await cancelled(task)
                task = loop.create_task(loop.sock_accept(server))
            accepted, address = await task
            accepted.close()
            assert address == client.getsockname()
        assert loop.remove_reader(server) is False


async def test_cancelling_a_sendto_stops_watching(loop: Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "receiver")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(path)
        receiver.setblocking(False)
        sender.setblocking(False)
        sent = 0
        while True:
            task = loop.create_task(loop.sock_sendto(sender, b"x" * 100, path))
            await turns(2)
            if not task.done():
                break
            assert await task == 100
            sent += 1
        await cancelled(task)
        assert loop.remove_writer(sender) is False
        waiting = loop.create_task(loop.sock_sendto(sender, b"last", path))
        await turns(2)
        assert not waiting.done()
        for _ in range(sent):
            assert await loop.sock_recv(receiver, 200) == b"x" * 100
        assert await waiting == 4
        assert await loop.sock_recv(receiver, 200) == b"last"


async def test_a_call_that_is_closed_while_it_waits_stops_watching(loop: Loop, pair: Pair) -> None:
    call = loop.sock_recv(pair[0], 10)
    future = call.send(None)
    assert asyncio.isfuture(future)
    call.close()
    future.cancel()
    await turns(2)
    assert loop.remove_reader(pair[0]) is False


async def test_an_exception_thrown_into_a_call_comes_out_of_it(loop: Loop, pair: Pair) -> None:
    call = loop.sock_recv(pair[0], 10)
    future = call.send(None)
    with pytest.raises(LookupError, match="thrown"):
        call.throw(LookupError("thrown"))
    future.cancel()
    await turns(2)
    assert loop.remove_reader(pair[0]) is False


async def test_what_a_cancelled_sendall_has_sent_is_a_beginning(loop: Loop, pair: Pair) -> None:
    data = os.urandom(3_000_000)
    task = loop.create_task(loop.sock_sendall(pair[0], data))
    received = await receive_exactly(loop, pair[1], 100_000)
    await cancelled(task)
    pair[0].close()
    while more := await loop.sock_recv(pair[1], 65536):
        received += more
    assert len(received) < len(data)
    assert data.startswith(received)


# Watching


async def test_one_socket_waits_in_both_directions_at_once(loop: Loop, pair: Pair) -> None:
    data = os.urandom(3_000_000)
    sending = loop.create_task(loop.sock_sendall(pair[0], data))
    receiving = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(3)
    assert not sending.done()
    assert not receiving.done()
    pair[1].send(b"the other way")
    assert await receiving == b"the other way"
    assert await receive_exactly(loop, pair[1], len(data)) == data
    await sending
    assert loop.remove_reader(pair[0]) is False
    assert loop.remove_writer(pair[0]) is False


async def test_the_last_to_wait_for_a_socket_is_served(loop: Loop, pair: Pair) -> None:
    first = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(2)
    second = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(2)
    await cancelled(first)
    await turns(2)
    pair[1].send(b"for the second")
    assert await second == b"for the second"


async def test_a_socket_that_takes_the_number_of_a_closed_one_is_not_confused_with_it(
    loop: Loop, loop_kind: str
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard loop takes the new socket for the old, and watches neither")
    left, right = socket.socketpair()
    left.setblocking(False)
    number = left.fileno()
    old = loop.create_task(loop.sock_recv(left, 100))
    await turns(2)
    left.close()
    right.close()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        assert left.fileno() == number
        new = loop.create_task(loop.sock_recv(left, 100))
        await turns(2)
        await cancelled(old)
        await turns(2)
        right.send(b"for the new one")
        assert await new == b"for the new one"


async def test_a_blocking_socket_does_not_block_the_loop(loop: Loop, loop_kind: str) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard loop blocks, unless in debug mode, which refuses the socket")
    loop.set_debug(False)
    left, right = socket.socketpair()
    with left, right:
        task = loop.create_task(loop.sock_recv(left, 100))
        await turns(3)
        assert not task.done()
        right.send(b"data")
        assert await task == b"data"
        sending = loop.create_task(loop.sock_sendall(left, bytes(5_000_000)))
        await turns(3)
        assert not sending.done()
        await cancelled(sending)


# Arguments


async def test_nothing_is_asked_of_the_kernel_for_no_bytes(loop: Loop, pair: Pair) -> None:
    assert await loop.sock_recv(pair[0], 0) == b""
    assert await loop.sock_recv_into(pair[0], bytearray()) == 0


async def test_sizes_may_be_anything_with_an_index(loop: Loop, pair: Pair) -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    pair[1].send(b"abcdef")
    two: Any = Two()
    assert await loop.sock_recv(pair[0], two) == b"ab"
    assert await loop.sock_recvfrom(pair[0], two) == (b"cd", None)
    assert await loop.sock_recv(pair[0], True) == b"e"


WRONG: dict[str, Callable[[socket.socket], Any]] = {
    "recv -1": lambda sock: sock.recv(-1),
    "recv 1.5": lambda sock: sock.recv(1.5),  # type: ignore[arg-type]
    "recv huge": lambda sock: sock.recv(1 << 70),
    "recvfrom -1": lambda sock: sock.recvfrom(-1),
    "recv_into bytes": lambda sock: sock.recv_into(b"fixed"),  # type: ignore[arg-type]
    "recv_into text": lambda sock: sock.recv_into("text"),  # type: ignore[arg-type]
    "recvfrom_into bytes": lambda sock: sock.recvfrom_into(b"fixed", 2),  # type: ignore[arg-type]
    "recvfrom_into -1": lambda sock: sock.recvfrom_into(bytearray(5), -1),
    "recvfrom_into 6 of 5": lambda sock: sock.recvfrom_into(bytearray(5), 6),
    "sendall text": lambda sock: sock.send("text"),  # type: ignore[arg-type]
    "sendall every other": lambda sock: sock.send(memoryview(b"every other")[::2]),
    "sendto text": lambda sock: sock.sendto("text", ("127.0.0.1", 9)),  # type: ignore[arg-type]
    "sendto nowhere": lambda sock: sock.sendto(b"x", None),  # type: ignore[arg-type]
    "sendto a port that is none": lambda sock: sock.sendto(b"x", ("127.0.0.1", 65536)),
}
CALLS: dict[str, Callable[[Any, socket.socket], Awaitable[Any]]] = {
    "recv -1": lambda loop, sock: loop.sock_recv(sock, -1),
    "recv 1.5": lambda loop, sock: loop.sock_recv(sock, 1.5),
    "recv huge": lambda loop, sock: loop.sock_recv(sock, 1 << 70),
    "recvfrom -1": lambda loop, sock: loop.sock_recvfrom(sock, -1),
    "recv_into bytes": lambda loop, sock: loop.sock_recv_into(sock, b"fixed"),
    "recv_into text": lambda loop, sock: loop.sock_recv_into(sock, "text"),
    "recvfrom_into bytes": lambda loop, sock: loop.sock_recvfrom_into(sock, b"fixed", 2),
    "recvfrom_into -1": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), -1),
    "recvfrom_into 6 of 5": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), 6),
    "sendall text": lambda loop, sock: loop.sock_sendall(sock, "text"),
    "sendall every other": lambda loop, sock: loop.sock_sendall(
        sock, memoryview(b"every other")[::2]
    ),
    "sendto text": lambda loop, sock: loop.sock_sendto(sock, "text", ("127.0.0.1", 9)),
    "sendto nowhere": lambda loop, sock: loop.sock_sendto(sock, b"x", None),
    "sendto a port that is none": lambda loop, sock: loop.sock_sendto(
        sock, b"x", ("127.0.0.1", 65536)
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_arguments_are_refused_in_the_words_of_the_socket(
    loop: Loop, name: str
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with pytest.raises((TypeError, ValueError, OverflowError, BufferError)) as expected:
            WRONG[name](sock)
        with pytest.raises(expected.type) as refused:
            await CALLS[name](loop, sock)
        assert str(refused.value) == str(expected.value)


async def test_memory_of_any_item_size_is_sent_whole(
    loop: Loop, loop_kind: str, pair: Pair
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard loop compares the bytes that were sent with the items there are")
    numbers = memoryview(bytes(range(256)) * 8192).cast("Q")
    sending = loop.create_task(loop.sock_sendall(pair[0], numbers))
    assert await receive_exactly(loop, pair[1], numbers.nbytes) == numbers.tobytes()
    await sending


async def test_memory_cannot_shrink_while_it_is_being_sent(loop: Loop, pair: Pair) -> None:
    data = bytearray(3_000_000)
    sending = loop.create_task(loop.sock_sendall(pair[0], data))
    await turns(2)
    with pytest.raises(BufferError):
        data.clear()
    await receive_exactly(loop, pair[1], len(data))
    await sending
    del sending
    data.clear()


async def test_a_socket_of_a_class_of_its_own_does_everything_in_its_way(loop: Loop) -> None:
    seen: list[str] = []

    class Noted(socket.socket):
        def recv(self, *args: Any) -> bytes:
            seen.append("recv")
            return super().recv(*args)

        def recv_into(self, *args: Any) -> int:
            seen.append("recv_into")
            return super().recv_into(*args)

        def send(self, *args: Any) -> int:
            seen.append("send")
            return super().send(*args)

    with tcp_socket_pair() as (client, accepted):
        noted = Noted(fileno=client.detach())
        with noted:
            noted.setblocking(False)
            data = os.urandom(1_000_000)
            sending = loop.create_task(loop.sock_sendall(noted, data))
            assert await receive_exactly(loop, accepted, len(data)) == data
            await sending
            receiving = loop.create_task(loop.sock_recv(noted, 100))
            await turns(2)
            accepted.send(b"back")
            assert await receiving == b"back"
            accepted.send(b"back")
            assert await loop.sock_recv_into(noted, bytearray(10)) == 4
    assert set(seen) == {"recv", "recv_into", "send"}


# Addresses


async def test_a_sender_without_a_name_is_none(loop: Loop, datagram_pair: Pair) -> None:
    left, right = datagram_pair
    right.send(b"who?")
    assert await loop.sock_recvfrom(left, 100) == (b"who?", None)
    right.send(b"who?")
    assert await loop.sock_recvfrom_into(left, bytearray(10)) == (4, None)


async def test_a_stream_has_no_sender(loop: Loop) -> None:
    with tcp_socket_pair() as (client, accepted):
        accepted.send(b"stream")
        assert await loop.sock_recvfrom(client, 100) == (b"stream", None)


async def test_unix_addresses_are_paths_or_abstract_names(loop: Loop, tmp_path: Path) -> None:
    names: list[Any] = [str(tmp_path / "path"), b"\0abstract %d" % os.getpid()]
    sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in names]
    try:
        for sock, name in zip(sockets, names, strict=True):
            sock.bind(name)
            sock.setblocking(False)
        one, two = sockets
        assert await loop.sock_sendto(one, b"hello", names[1]) == 5
        assert await loop.sock_recvfrom(two, 100) == (b"hello", names[0])
        assert await loop.sock_sendto(two, b"back", names[0]) == 4
        assert await loop.sock_recvfrom(one, 100) == (b"back", names[1])
    finally:
        for sock in sockets:
            sock.close()


async def test_the_name_of_a_host_is_resolved(loop: Loop) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        to = ("localhost", two.getsockname()[1])
        assert await loop.sock_sendto(one, b"hello", to) == 5
        assert await loop.sock_recvfrom(two, 100) == (b"hello", one.getsockname())
