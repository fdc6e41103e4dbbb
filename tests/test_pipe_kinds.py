"""What `connect_read_pipe` and `connect_write_pipe` take besides pipes, and what they refuse."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pty
import socket
import subprocess
import termios
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from support.child import command, environment
from support.leaks import Ledger, Strays
from support.loops import Loop
from support.net import turns
from support.protocols import Recorder

REFUSED = r"Pipe transport is (only )?for pipes"


def raw_terminal() -> tuple[int, int]:
    """A pseudo-terminal that passes bytes on as they are: our side, the program's side."""
    primary, secondary = os.openpty()
    attributes = termios.tcgetattr(secondary)
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(secondary, termios.TCSANOW, attributes)
    return primary, secondary


async def ended(transport: Any, protocol: Recorder) -> BaseException | None:
    """Close, and wait for the end."""
    transport.close()
    error = await protocol.lost()
    await turns(2)
    return error


async def test_a_named_pipe(loop: Loop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading = FileIO(os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK), "rb")
    _, received = await loop.connect_read_pipe(Recorder, reading)
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO(str(tmp_path / "fifo"), "wb"))
    sink.write(b"by name")
    assert await received.got(7) == b"by name"
    assert await ended(sink, sent) is None
    assert await received.lost() is None
    assert received.names()[-2:] == ["eof", "lost"]
    await turns(2)


async def test_a_named_pipe_whose_reader_goes_away(loop: Loop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO(str(tmp_path / "fifo"), "wb"))
    os.close(reading)
    assert isinstance(await sent.lost(), BrokenPipeError | None)
    assert sink.is_closing()
    await turns(2)


async def test_a_pipe_opened_for_reading_and_writing(loop: Loop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    source, received = await loop.connect_read_pipe(
        Recorder, FileIO(os.open(tmp_path / "fifo", os.O_RDWR), "r+b")
    )
    writing = os.open(tmp_path / "fifo", os.O_WRONLY)
    os.write(writing, b"to itself")
    os.close(writing)
    assert await received.got(9) == b"to itself"
    await turns(5)
    assert not received.count("eof")  # it is a writer of itself
    assert await ended(source, received) is None


async def test_both_ends_of_a_socket_pair(loop: Loop) -> None:
    left, right = socket.socketpair()
    _, received = await loop.connect_read_pipe(Recorder, left)
    sink, sent = await loop.connect_write_pipe(Recorder, right)
    sink.write(b"through a socket")
    assert await received.got(16) == b"through a socket"
    assert await ended(sink, sent) is None
    assert await received.lost() is None
    await turns(2)


async def test_a_terminal_is_read_and_written(loop: Loop) -> None:
    primary, secondary = raw_terminal()
    _, received = await loop.connect_read_pipe(Recorder, FileIO(primary, "rb"))
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO(secondary, "wb"))
    assert os.isatty(sink.get_extra_info("pipe").fileno())
    sink.write(b"\x00\xff a line\n")
    assert await received.got(10) == b"\x00\xff a line\n"
    assert await ended(sink, sent) is None
    # The kernel's word for a terminal whose program is gone.
    error = await received.lost()
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO
    await turns(2)


async def test_a_terminal_that_takes_no_more(loop: Loop) -> None:
    primary, secondary = raw_terminal()
    os.set_blocking(primary, False)
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO(secondary, "wb"))
    data = b"0123456789abcdef" * 20_000
    sink.write(data)
    assert sink.get_write_buffer_size() > 0
    assert sent.count("pause") == 1
    received = bytearray()
    while len(received) < len(data):
        try:
            received += os.read(primary, 65536)
        except BlockingIOError:
            await asyncio.sleep(0)
    assert received == data
    assert sent.count("resume") == 1
    assert await ended(sink, sent) is None
    os.close(primary)


def test_a_program_talks_to_its_terminal(loop_kind: str) -> None:
    """Through its standard streams, as somebody types."""
    primary, secondary = pty.openpty()
    program = command(
        loop_kind,
        """
        async def main():
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader()
            source, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), open(0, "rb", 0, closefd=False)
            )
            transport, protocol = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, open(1, "wb", 0, closefd=False)
            )
            writer = asyncio.StreamWriter(transport, protocol, None, loop)
            writer.write(b"who are you?\\n")
            while line := await reader.readline():
                writer.write(b"hello " + line)
                await writer.drain()
            writer.write(b"bye\\n")
            writer.close()
            source.close()
            await asyncio.sleep(0.01)

        loop = make_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
        options=("-X", "dev", "-W", "error"),
    )
    with subprocess.Popen(
        program, env=environment(), stdin=secondary, stdout=secondary, stderr=subprocess.PIPE
    ) as child:
        os.close(secondary)

        def read_until(end: bytes) -> bytes:
            text = b""
            while not text.endswith(end):
                text += os.read(primary, 1000)
            return text

        read_until(b"who are you?\r\n")
        os.write(primary, b"me\n")
        assert read_until(b"hello me\r\n").startswith(b"me\r\n")  # the terminal's own echo
        os.write(primary, bytes([4]))  # Ctrl-D
        read_until(b"bye\r\n")
        assert child.wait(30) == 0
        assert child.stderr is not None
        assert child.stderr.read() == b""
    os.close(primary)


async def test_a_device_that_takes_everything(loop: Loop) -> None:
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO("/dev/null", "wb"))
    sink.write(bytes(1_000_000))
    assert sink.get_write_buffer_size() == 0
    assert await ended(sink, sent) is None


async def test_a_device_that_is_full(loop: Loop) -> None:
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO("/dev/full", "wb"))
    sink.write(b"one too many")
    error = await sent.lost()
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert sink.is_closing()
    await turns(2)


async def test_a_device_that_cannot_be_waited_for(loop: Loop, strays: Strays) -> None:
    """The kernel refuses to poll it; that is reported, and the transport can be closed."""
    source, received = await loop.connect_read_pipe(Recorder, FileIO("/dev/zero", "rb"))
    await turns(5)
    assert isinstance(strays.take_one()["exception"], PermissionError)
    assert received.names() == ["made"]
    assert await ended(source, received) is None


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
@pytest.mark.parametrize("mode", ["rb", "wb", "r+b", "ab"])
async def test_regular_files(loop: Loop, method: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with (
        open(tmp_path / "file", mode, buffering=0) as file,
        pytest.raises(ValueError, match=REFUSED),
    ):
        await getattr(loop, method)(Recorder, file)
    assert file.closed


def directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def memory(path: Path) -> int:
    return os.memfd_create("memory")


def event(path: Path) -> int:
    return os.eventfd(0)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
@pytest.mark.parametrize("make", [directory, memory, event])
async def test_descriptors_that_are_no_pipes(
    loop: Loop, method: str, make: Callable[[Path], int], tmp_path: Path
) -> None:
    class File:
        """As much of a file as a transport needs."""

        def __init__(self) -> None:
            self.descriptor = make(tmp_path)

        def fileno(self) -> int:
            return self.descriptor

        def close(self) -> None:
            os.close(self.descriptor)

    file = File()
    with pytest.raises(ValueError, match=REFUSED):
        await getattr(loop, method)(Recorder, file)
    file.close()


def only_stumbles(ledger: Ledger) -> None:
    """Let asyncio's transports stumble in the finalizer when they were never made, as they do."""
    assert all("no attribute '_closing'" in error for error in ledger.take_lost_errors())


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_a_file_that_is_closed(
    loop: Loop, method: str, tmp_path: Path, nothing_left_behind: Ledger
) -> None:
    file = open(tmp_path / "file", "w+b")
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        await getattr(loop, method)(Recorder, file)
    only_stumbles(nothing_left_behind)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
async def test_what_is_no_file(loop: Loop, method: str, nothing_left_behind: Ledger) -> None:
    with pytest.raises(AttributeError):
        await getattr(loop, method)(Recorder, object())
    only_stumbles(nothing_left_behind)


async def test_the_wrong_end_of_a_pipe_for_reading(loop: Loop, strays: Strays) -> None:
    read_end, write_end = os.pipe()
    source, received = await loop.connect_read_pipe(Recorder, FileIO(write_end, "wb"))
    os.close(read_end)  # which wakes up who waits at the other end
    error = await received.lost()
    assert isinstance(error, OSError)
    assert error.errno == errno.EBADF
    assert isinstance(strays.take_one()["exception"], OSError)
    assert source.is_closing()
    await turns(2)


async def test_the_wrong_end_of_a_pipe_for_writing(
    loop: Loop, strays: Strays, caplog: pytest.LogCaptureFixture
) -> None:
    read_end, write_end = os.pipe()
    sink, sent = await loop.connect_write_pipe(Recorder, FileIO(read_end, "rb"))
    with caplog.at_level(logging.DEBUG, "asyncio"):
        sink.write(b"the wrong way")
        error = await sent.lost()
    assert isinstance(error, OSError)
    assert error.errno == errno.EBADF
    os.close(write_end)
    strays.take()
    await turns(2)
