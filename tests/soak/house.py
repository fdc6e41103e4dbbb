"""What the exchanges share: servers, TLS contexts, and what went wrong where nobody was looking."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import rondel
from rondel.loop import RESOLVERS, Loop
from support.certificates import Certificates

THREADS = 4
POOL_THREADS = 2
WORKER_PROCESSES = 1
"""What ends a worker gives it a call afterwards: so one worker there always is in a rest."""


class House:
    """The servers that exchanges talk to, all on the loop under test."""

    def __init__(self, folder: Path, seed: int) -> None:
        certificates = Certificates(folder)
        self.folder = folder
        self.random = random.Random(seed)
        self.server_tls = certificates.server_context()
        self.client_tls = certificates.client_context()
        self.executor = ThreadPoolExecutor(THREADS, "executor")
        self.threads = rondel.ThreadPoolExecutor(POOL_THREADS, "pool")
        self.processes = rondel.ProcessPoolExecutor(WORKER_PROCESSES)
        self.tcp: Any = None
        self.lines: Any = None
        self.tls: Any = None
        self.unix = str(folder / "socket")
        self.udp: Any = None
        self.unreachable: Any = None
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._udp: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Start everything."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self.executor)
        # All threads that there will be, so that none is new later.
        together = threading.Barrier(THREADS)
        await asyncio.gather(*(loop.run_in_executor(None, together.wait) for _ in range(THREADS)))
        together = threading.Barrier(POOL_THREADS)
        waits = (loop.run_in_executor(self.threads, together.wait) for _ in range(POOL_THREADS))
        await asyncio.gather(*waits)
        await loop.run_in_executor(self.processes, int)
        assert isinstance(loop, Loop)
        together = threading.Barrier(RESOLVERS)
        await asyncio.gather(*(loop._in_resolver(together.wait) for _ in range(RESOLVERS)))

        tcp = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        lines = await asyncio.start_server(shout, "127.0.0.1", 0, backlog=1000)
        tls = await asyncio.start_server(
            self.shout_after_starttls, "127.0.0.1", 0, ssl=self.server_tls, backlog=1000
        )
        plain_at_first = await asyncio.start_server(self.shout_after_starttls, "127.0.0.1", 0)
        unix = await asyncio.start_unix_server(shout, self.unix)
        self._servers = [tcp, lines, tls, plain_at_first, unix]
        self.tcp, self.lines, self.tls, self.starttls = (
            server.sockets[0].getsockname() for server in self._servers[:4]
        )
        self._udp, _ = await loop.create_datagram_endpoint(UdpEcho, local_addr=("127.0.0.1", 0))
        self.udp = self._udp.get_extra_info("sockname")

        # One connection is all that it takes, and it has that: further ones are never answered.
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.unreachable = full.getsockname()
        self._sockets = [full, socket.create_connection(self.unreachable)]

    async def close(self) -> None:
        """End everything."""
        for server in self._servers:
            server.close()
            await server.wait_closed()
        if self._udp is not None:
            self._udp.close()
        for sock in self._sockets:
            sock.close()
        await asyncio.sleep(0.01)
        self.threads.shutdown()
        self.processes.shutdown()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def shout_after_starttls(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """As `shout`, and changes over to TLS when asked to."""
        try:
            while line := await reader.readline():
                if line == b"STARTTLS\n":
                    writer.write(b"OK\n")
                    await writer.start_tls(self.server_tls)
                else:
                    writer.write(line.upper())
                    await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass  # the client left; its own worker knows whether it should have
        await ended(writer)


class Echo(asyncio.Protocol):
    """Writes back what it receives."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Write it back."""
        self.transport.write(data)

    def pause_writing(self) -> None:
        """Read no more than can be written back."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.transport.resume_reading()


class UdpEcho(asyncio.DatagramProtocol):
    """Sends back what it receives."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Send it back."""
        self.transport.sendto(data, addr)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer lines in upper case."""
    try:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
    except ConnectionError:
        pass  # as above
    await ended(writer)


async def ended(writer: asyncio.StreamWriter) -> None:
    """Close a connection that may be broken already, and wait for its end."""
    writer.close()
    try:
        await writer.wait_closed()
    except (ConnectionError, ssl.SSLError):
        pass


class Complaints(logging.Handler):
    """What goes wrong and is only reported: to a loop, to the log, from a finalizer or a thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen everywhere."""
        loop.set_exception_handler(self._from_loop)
        logging.getLogger("asyncio").addHandler(self)
        sys.unraisablehook = self._from_finalizer
        threading.excepthook = self._from_thread

    def emit(self, record: logging.LogRecord) -> None:
        """Note what was logged."""
        self.texts.append(f"logged: {record.getMessage()}")

    def _from_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.texts.append(f"reported: {context['message']}: {context.get('exception')!r}")

    def _from_finalizer(self, lost: Any) -> None:
        self.texts.append(f"lost: {lost.exc_value!r} in {lost.object!r}")

    def _from_thread(self, lost: threading.ExceptHookArgs) -> None:
        self.texts.append(f"lost: {lost.exc_value!r} in {lost.thread!r}")
