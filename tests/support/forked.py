"""What a parent has on its loop when it forks, and how it sees that all of it still works."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0
"""Seconds until something that should come is taken to be lost."""


class Parent:
    """A running loop with one of everything that can be watched."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.signals = 0
        self.signalled = asyncio.Event()

    async def open(self) -> None:
        """Open everything."""
        self.server = await self.loop.create_server(Echo, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.udp, self.datagrams = await self.loop.create_datagram_endpoint(
            Datagrams, local_addr=("127.0.0.1", 0)
        )
        self.watched, self.peer = socket.socketpair()
        self.watched.setblocking(False)
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.loop.add_reader(self.watched, self.hear)
        self.out, pipe_out = os.pipe()
        self.pipe, _ = await self.loop.connect_write_pipe(
            asyncio.Protocol, os.fdopen(pipe_out, "wb")
        )
        self.process: Any = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self.loop.add_signal_handler(signal.SIGUSR1, self.receive)

    def hear(self) -> None:
        self.heard.put_nowait(self.watched.recv(100))

    def receive(self) -> None:
        self.signals += 1
        self.signalled.set()

    async def works(self) -> None:
        """Use everything; raises TimeoutError for what a child has taken away."""
        async with asyncio.timeout(PATIENCE):
            assert await echo_on(self.reader, self.writer) == b"hello\n"
            assert await echo_once(self.address) == b"hello\n"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"datagram", self.udp.get_extra_info("sockname"))
                assert await self.datagrams.received.get() == b"datagram"
            self.peer.send(b"heard")
            assert await self.heard.get() == b"heard"
            self.pipe.write(b"piped")
            await asyncio.sleep(0)
            assert os.read(self.out, 100) == b"piped"
            assert await echo_on(self.process.stdout, self.process.stdin) == b"hello\n"
            assert self.signals == 0, "a signal of somebody else"
            os.kill(os.getpid(), signal.SIGUSR1)
            await self.signalled.wait()
            self.signals = 0
            self.signalled.clear()

    async def close(self) -> None:
        """Close everything; the process ends by itself, which must be seen, too."""
        async with asyncio.timeout(PATIENCE):
            self.loop.remove_signal_handler(signal.SIGUSR1)
            self.process.stdin.close()
            assert await self.process.wait() == 0
            self.loop.remove_reader(self.watched)
            self.watched.close()
            self.peer.close()
            self.pipe.close()
            os.close(self.out)
            self.udp.close()
            self.writer.close()
            await self.writer.wait_closed()
            self.server.close()
            await self.server.wait_closed()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait(data)


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo_on(reader: Any, writer: Any) -> bytes:
    """Send a line and return the one that comes back."""
    writer.write(b"hello\n")
    return await reader.readline()  # type: ignore[no-any-return]


async def echo_once(address: Any) -> bytes:
    """Connect, and send a line and return the one that comes back."""
    reader, writer = await asyncio.open_connection(*address)
    line = await echo_on(reader, writer)
    writer.close()
    await writer.wait_closed()
    return line


def forked(act: Callable[[], object]) -> int:
    """Fork; the child does ``act`` and ends without a word to anybody. Its number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return child


async def ended(child: int) -> int:
    """Wait, in turns of the loop, for a child to end; its exit code."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(child)
    seen = asyncio.Event()
    loop.add_reader(pidfd, seen.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await seen.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
