"""`add_reader` and `add_writer` on every kind of descriptor that the kernel can wait for."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.loops import Loop
from support.net import turns

Made = tuple[int, Callable[[], Any]]
"""A descriptor that is not readable yet, and what makes it so."""

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """The result of a call of the C library that may have failed."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@contextlib.contextmanager
def pipe(folder: Path) -> Iterator[Made]:
    read_end, write_end = os.pipe()
    yield read_end, lambda: os.write(write_end, b"x")
    os.close(read_end)
    os.close(write_end)


@contextlib.contextmanager
def named_pipe(folder: Path) -> Iterator[Made]:
    os.mkfifo(folder / "fifo")
    read_end = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    write_end = os.open(folder / "fifo", os.O_WRONLY)
    yield read_end, lambda: os.write(write_end, b"x")
    os.close(read_end)
    os.close(write_end)


@contextlib.contextmanager
def terminal(folder: Path) -> Iterator[Made]:
    primary, secondary = os.openpty()
    tty.setraw(secondary)
    yield secondary, lambda: os.write(primary, b"x")
    os.close(primary)
    os.close(secondary)


@contextlib.contextmanager
def terminal_from_outside(folder: Path) -> Iterator[Made]:
    primary, secondary = os.openpty()
    yield primary, lambda: os.write(secondary, b"x")
    os.close(primary)
    os.close(secondary)


@contextlib.contextmanager
def listening_socket(folder: Path) -> Iterator[Made]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        yield server.fileno(), lambda: client.connect(server.getsockname())


@contextlib.contextmanager
def datagram_socket(folder: Path) -> Iterator[Made]:
    with socket.socket(type=socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as to:
        left.bind(("127.0.0.1", 0))
        yield left.fileno(), lambda: to.sendto(b"", left.getsockname())


@contextlib.contextmanager
def hung_up_socket(folder: Path) -> Iterator[Made]:
    """The end of the data is something to read."""
    left, right = socket.socketpair()
    with left:
        yield left.fileno(), right.close


@contextlib.contextmanager
def counter(folder: Path) -> Iterator[Made]:
    number = os.eventfd(0)
    yield number, lambda: os.eventfd_write(number, 1)
    os.close(number)


@contextlib.contextmanager
def timer(folder: Path) -> Iterator[Made]:
    number = checked(libc.timerfd_create(1, 0))
    first = struct.pack("llll", 0, 0, 0, 1)  # a nanosecond from now, once
    yield number, lambda: checked(libc.timerfd_settime(number, 0, first, None))
    os.close(number)


@contextlib.contextmanager
def process(folder: Path) -> Iterator[Made]:
    with subprocess.Popen(["sleep", "1000"]) as child:
        number = os.pidfd_open(child.pid)
        yield number, child.kill
        os.close(number)


@contextlib.contextmanager
def folder_watch(folder: Path) -> Iterator[Made]:
    number = checked(libc.inotify_init())
    created = 0x100
    checked(libc.inotify_add_watch(number, os.fsencode(folder), created))
    yield number, (folder / "new").touch
    os.close(number)


@contextlib.contextmanager
def blocked_signal(folder: Path) -> Iterator[Made]:
    mask = (1 << (signal.SIGUSR2 - 1)).to_bytes(128, "little")
    number = checked(libc.signalfd(-1, mask, 0))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    yield number, lambda: signal.raise_signal(signal.SIGUSR2)
    signal.sigtimedwait([signal.SIGUSR2], 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(number)


@contextlib.contextmanager
def another_epoll(folder: Path) -> Iterator[Made]:
    read_end, write_end = os.pipe()
    with select.epoll() as watched:
        watched.register(read_end, select.EPOLLIN)
        yield watched.fileno(), lambda: os.write(write_end, b"x")
    os.close(read_end)
    os.close(write_end)


READABLE = [
    pipe,
    named_pipe,
    terminal,
    terminal_from_outside,
    listening_socket,
    datagram_socket,
    hung_up_socket,
    counter,
    timer,
    pytest.param(
        process,
        marks=pytest.mark.skipif(
            not hasattr(os, "pidfd_open"), reason="this Python was built without pidfds"
        ),
    ),
    folder_watch,
    blocked_signal,
    another_epoll,
]


@pytest.mark.parametrize("make", READABLE)
async def test_a_reader_is_called_when_it_becomes_readable(
    loop: Loop, make: Any, tmp_path: Path
) -> None:
    with make(tmp_path) as (descriptor, become_readable):
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        await turns(5)
        assert not readable.is_set()
        become_readable()
        await readable.wait()
        # Level-triggered: as long as nobody takes it, it stays readable.
        readable.clear()
        await readable.wait()
        assert loop.remove_reader(descriptor)
        readable.clear()
        await turns(5)
        assert not readable.is_set()


@pytest.mark.parametrize("make", ["pipe", "socket"])
async def test_a_writer_is_called_when_there_is_room_again(loop: Loop, make: str) -> None:
    if make == "pipe":
        source, sink = os.pipe()
        room = fcntl.fcntl(sink, fcntl.F_GETPIPE_SZ)
    else:
        left, right = socket.socketpair()
        source, sink = left.detach(), right.detach()
        room = 1_000_000
    os.set_blocking(sink, False)
    os.set_blocking(source, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(sink, bytes(4096))
    called: list[None] = []
    loop.add_writer(sink, called.append, None)
    await turns(5)
    assert not called
    while not called:
        with contextlib.suppress(BlockingIOError):
            os.read(source, room)
        await asyncio.sleep(0)
    assert loop.remove_writer(sink)
    os.close(source)
    os.close(sink)


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("what", ["file", "directory", "/dev/null", "/dev/zero", "/proc/self/stat"])
async def test_what_is_always_ready_cannot_be_watched(
    loop: Loop, method: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = {"file": tmp_path / "file", "directory": tmp_path}.get(what, Path(what))
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(PermissionError) as caught:
        getattr(loop, method)(descriptor, int)
    assert caught.value.errno == errno.EPERM
    # It left no trace.
    remove = getattr(loop, method.replace("add", "remove"))
    assert not remove(descriptor)
    os.close(descriptor)


async def test_a_refused_descriptor_number_can_be_watched_when_it_is_something_else(
    loop: Loop, tmp_path: Path
) -> None:
    refused = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(PermissionError):
        loop.add_reader(refused, int)
    number = os.eventfd(0)
    os.dup2(number, refused)
    readable = asyncio.Event()
    loop.add_reader(refused, readable.set)
    os.eventfd_write(number, 1)
    await readable.wait()
    assert loop.remove_reader(refused)
    os.close(refused)
    os.close(number)
