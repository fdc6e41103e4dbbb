"""``add_reader`` and ``add_writer``: watching descriptors for readiness."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.leaks import Ledger, Strays
from support.loops import Loop
from support.net import connected, socket_pair, turns

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """Two connected non-blocking sockets."""
    with socket_pair() as sockets:
        yield sockets


async def test_a_reader_is_called_when_there_is_something_to_read(loop: Loop, pair: Pair) -> None:
    left, right = pair
    received = loop.create_future()
    loop.add_reader(left, lambda: received.done() or received.set_result(left.recv(100)))
    await turns(3)
    assert not received.done()
    right.send(b"hello")
    assert await received == b"hello"
    loop.remove_reader(left)


async def test_a_reader_gets_its_arguments(loop: Loop, pair: Pair) -> None:
    left, right = pair
    seen = loop.create_future()

    def note(*args: object) -> None:
        loop.remove_reader(left)
        seen.set_result(args)

    loop.add_reader(left, note, 1, "two", None)
    right.send(b"x")
    assert await seen == (1, "two", None)


async def test_a_reader_is_called_each_turn_until_all_is_read(loop: Loop, pair: Pair) -> None:
    left, right = pair
    calls: list[bytes] = []
    done = loop.create_future()

    def read_a_byte() -> None:
        calls.append(left.recv(1))
        if len(calls) == 5:
            done.set_result(None)

    loop.add_reader(left, read_a_byte)
    right.send(b"12345")
    await done
    await turns(5)
    assert calls == [b"1", b"2", b"3", b"4", b"5"]
    loop.remove_reader(left)


async def test_a_reader_is_called_at_end_of_file(loop: Loop, pair: Pair) -> None:
    left, right = pair
    ended = loop.create_future()

    def read() -> None:
        loop.remove_reader(left)
        ended.set_result(left.recv(1))

    loop.add_reader(left, read)
    right.close()
    assert await ended == b""


async def test_a_writer_is_called_when_there_is_room(loop: Loop, pair: Pair) -> None:
    left, right = pair
    while True:
        try:
            left.send(bytes(65536))
        except BlockingIOError:
            break
    room = loop.create_future()

    def note() -> None:
        loop.remove_writer(left)
        room.set_result(None)

    loop.add_writer(left, note)
    await turns(3)
    assert not room.done()
    with contextlib.suppress(BlockingIOError):
        while True:
            right.recv(1 << 20)
    await room


async def test_a_writer_is_called_each_turn_while_there_is_room(loop: Loop, pair: Pair) -> None:
    calls = 0
    done = loop.create_future()

    def note() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            loop.remove_writer(pair[0])
            done.set_result(None)

    loop.add_writer(pair[0], note)
    await done
    await turns(3)
    assert calls == 10


async def test_a_reader_and_a_writer_share_a_descriptor(loop: Loop, pair: Pair) -> None:
    left, right = pair
    wrote, read = loop.create_future(), loop.create_future()

    def write() -> None:
        loop.remove_writer(left)
        wrote.set_result(left.send(b"out"))

    loop.add_reader(left, lambda: read.done() or read.set_result(left.recv(10)))
    loop.add_writer(left, write)
    assert await wrote == 3
    assert right.recv(10) == b"out"
    right.send(b"in")
    assert await read == b"in"
    assert loop.remove_reader(left)
    assert not loop.remove_writer(left)


async def test_adding_again_replaces_the_callback(loop: Loop, pair: Pair) -> None:
    left, right = pair
    calls: list[str] = []
    done = loop.create_future()

    def second() -> None:
        calls.append("second")
        loop.remove_reader(left)
        done.set_result(None)

    loop.add_reader(left, calls.append, "first")
    loop.add_reader(left, second)
    right.send(b"x")
    await done
    assert calls == ["second"]


async def test_replacing_lets_go_of_the_old_callback(loop: Loop, pair: Pair) -> None:
    class Callback:
        def __call__(self) -> None: ...

    old = Callback()
    alive = weakref.ref(old)
    loop.add_reader(pair[0], old)
    loop.add_writer(pair[1], old)
    del old
    loop.add_reader(pair[0], int)
    loop.remove_writer(pair[1])
    gc.collect()
    assert alive() is None
    loop.remove_reader(pair[0])


async def test_removing_tells_whether_there_was_one(loop: Loop, pair: Pair) -> None:
    left, _ = pair
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is False
    loop.add_reader(left, int)
    assert loop.remove_writer(left) is False
    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False
    loop.add_writer(left, int)
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is True
    assert loop.remove_writer(left) is False


async def test_adding_returns_nothing(loop: Loop, pair: Pair) -> None:
    assert loop.add_reader(pair[0], int) is None  # type: ignore[func-returns-value]
    assert loop.add_writer(pair[0], int) is None  # type: ignore[func-returns-value]
    loop.remove_reader(pair[0])
    loop.remove_writer(pair[0])


async def test_a_removed_reader_is_not_called_even_if_ready(loop: Loop, pair: Pair) -> None:
    left, right = pair
    calls: list[int] = []
    loop.add_reader(left, calls.append, 1)
    right.send(b"x")
    loop.remove_reader(left)
    await turns(3)
    assert calls == []


async def test_a_reader_removed_by_another_callback_of_its_turn_is_not_called(
    loop: Loop, pair: Pair
) -> None:
    left, right = pair
    calls: list[str] = []

    def reader(name: str, other: socket.socket) -> None:
        calls.append(name)
        loop.remove_reader(other)

    loop.add_reader(left, reader, "left", right)
    loop.add_reader(right, reader, "right", left)
    left.send(b"x")
    right.send(b"x")
    await turns(3)
    assert len(set(calls)) == 1
    loop.remove_reader(left)
    loop.remove_reader(right)


async def test_descriptors_may_be_numbers_or_files(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    received = loop.create_future()
    with open(read_end, "rb", buffering=0) as reading, open(write_end, "wb", buffering=0) as out:
        loop.add_reader(reading.fileno(), lambda: None)
        loop.add_reader(reading, lambda: received.done() or received.set_result(reading.read(9)))
        loop.add_writer(out.fileno(), lambda: (loop.remove_writer(out), out.write(b"piped")))
        assert await received == b"piped"
        assert loop.remove_reader(reading.fileno()) is True


async def test_the_loop_keeps_watching_a_duplicate_independently(loop: Loop, pair: Pair) -> None:
    left, right = pair
    calls: list[str] = []
    done = loop.create_future()
    with left.dup() as copy:
        loop.add_reader(left, calls.append, "left")

        def through_copy() -> None:
            loop.remove_reader(copy)
            loop.remove_reader(left)
            done.set_result(copy.recv(1))

        loop.add_reader(copy, through_copy)
        right.send(b"x")
        assert await done == b"x"


async def test_a_descriptor_reused_after_closing_is_watched_anew(loop: Loop) -> None:
    for round_ in range(20):
        with socket_pair() as (left, right):
            received = loop.create_future()
            loop.add_reader(left.fileno(), lambda left=left: received.set_result(left.recv(9)))
            right.send(b"%d" % round_)
            assert await received == b"%d" % round_
            loop.remove_reader(left.fileno())


async def test_a_descriptor_closed_while_watched_can_be_removed(loop: Loop) -> None:
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, int)
    left.close()
    right.close()
    assert loop.remove_reader(number) is True
    assert loop.remove_reader(number) is False


async def test_a_failing_reader_is_reported_and_stays(
    loop: Loop, pair: Pair, strays: Strays
) -> None:
    left, right = pair
    calls = 0
    done = loop.create_future()

    def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            left.recv(1)
            loop.remove_reader(left)
            done.set_result(None)
        raise LookupError("reader")

    loop.add_reader(left, fail)
    right.send(b"x")
    await done
    contexts = strays.take()
    assert [type(context["exception"]) for context in contexts] == [LookupError, LookupError]
    assert all(context["message"].startswith("Exception in callback ") for context in contexts)


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
async def test_regular_files_cannot_be_watched(loop: Loop, method: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file, pytest.raises(PermissionError) as caught:
        getattr(loop, method)(file, int)
    assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
async def test_closed_descriptors_cannot_be_watched(loop: Loop, method: str) -> None:
    left, right = socket.socketpair()
    number = left.fileno()
    left.close()
    right.close()
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        getattr(loop, method)(left, int)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        getattr(loop, method)(number, int)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
@pytest.mark.parametrize("wrong", [None, "text", 1.5, object()])
async def test_only_descriptors_are_accepted(loop: Loop, method: str, wrong: object) -> None:
    callback = (int,) if method.startswith("add") else ()
    with pytest.raises(ValueError, match=r"^Invalid file object: "):
        getattr(loop, method)(wrong, *callback)


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
async def test_a_transports_descriptor_is_not_for_others(loop: Loop, method: str) -> None:
    callback = (int,) if method.startswith("add") else ()
    async with connected(loop) as (transport, protocol, _):
        number = transport.get_extra_info("socket").fileno()
        with pytest.raises(RuntimeError, match=r"^File descriptor .* is used by transport "):
            getattr(loop, method)(number, *callback)
        transport.close()
        await protocol.lost()


async def test_a_closed_loop_watches_nothing(loop: Loop, pair: Pair) -> None:
    # Closing from within is refused, so a second loop plays the closed one.
    other = type(loop)()
    other.close()
    for add in (other.add_reader, other.add_writer):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            add(pair[0], int)
    assert other.remove_reader(pair[0]) is False
    assert other.remove_writer(pair[0]) is False


def test_closing_the_loop_lets_go_of_its_watchers(loop: Loop, pair: Pair) -> None:
    class Callback:
        def __call__(self) -> None: ...

    callback = Callback()
    alive = weakref.ref(callback)
    loop.add_reader(pair[0], callback)
    loop.add_writer(pair[1], callback)
    loop.close()
    del callback
    gc.collect()
    assert alive() is None


async def test_many_descriptors_are_watched_at_once(loop: Loop) -> None:
    sockets = [socket.socketpair() for _ in range(200)]
    received: list[int] = []
    done = loop.create_future()

    def read(number: int, sock: socket.socket) -> None:
        assert sock.recv(1) == b"x"
        received.append(number)
        loop.remove_reader(sock)
        if len(received) == len(sockets):
            done.set_result(None)

    for number, (left, _) in enumerate(sockets):
        loop.add_reader(left, read, number, left)
    for _, right in reversed(sockets):
        right.send(b"x")
    await done
    assert sorted(received) == list(range(200))
    for left, right in sockets:
        left.close()
        right.close()


async def test_an_error_condition_wakes_readers_and_writers(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, bytes(65536))
    except BlockingIOError:
        pass
    woken = loop.create_future()

    def note() -> None:
        loop.remove_writer(write_end)
        woken.set_result(None)

    loop.add_writer(write_end, note)
    await turns(2)
    assert not woken.done()
    os.close(read_end)
    await woken
    os.close(write_end)
