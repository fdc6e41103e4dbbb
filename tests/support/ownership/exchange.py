"""Tagged data: whoever speaks says who it is, and whoever echoes listens whether it still is."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from support.loops import Loop
from support.net import receive_exactly
from support.protocols import Recorder, Watched


def lines_of(token: bytes, count: int) -> list[bytes]:
    """What one connection says in its life, or a beginning of it."""
    return [b"%s %d\n" % (token, number) for number in range(count)]


class AuditedEcho(asyncio.Protocol):
    """Echoes lines, and complains of a connection in which two speak, or one with gaps."""

    def __init__(self, wrong: list[str]) -> None:
        self._wrong = wrong
        self._token: bytes | None = None
        self._lines = 0
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            token, _, number = line.rpartition(b" ")
            if self._token is None:
                self._token = token
            if token != self._token or number != b"%d" % self._lines:
                self._wrong.append(f"{line!r} came to {self._token!r}, as line {self._lines}")
            self._lines += 1
        if lines and not self._transport.is_closing():
            self._transport.write(b"\n".join(lines) + b"\n")


class Caller(Recorder):
    """A client of `AuditedEcho` that is a protocol."""

    async def exchange(self, token: bytes, count: int = 3) -> None:
        """Say some lines, one after the other, and hear each again and nothing else."""
        expected = b""
        for line in lines_of(token, count):
            self.transport.write(line)
            expected += line
            heard = await self.got(len(expected))
            assert heard == expected, f"{heard!r} came to {token!r}"


async def exchange_by_socket(loop: Loop, sock: socket.socket, token: bytes, count: int = 3) -> None:
    """Say some lines by a plain socket, and hear each again and nothing else."""
    for line in lines_of(token, count):
        await loop.sock_sendall(sock, line)
        heard = await receive_exactly(loop, sock, len(line))
        assert heard == line, f"{heard!r} came to {token!r}"


async def exchange_by_streams(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: bytes, count: int = 3
) -> None:
    """Say some lines by a stream, and hear each again and nothing else."""
    for line in lines_of(token, count):
        writer.write(line)
        await writer.drain()
        heard = await reader.readexactly(len(line))
        assert heard == line, f"{heard!r} came to {token!r}"


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends each datagram back to where it came from."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(data, addr)


class DatagramCaller(Watched, asyncio.DatagramProtocol):
    """A client of `DatagramEcho`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.record("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.record("datagram", data)

    def error_received(self, exc: Exception) -> None:
        self.record("error", exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.record("lost", exc)

    async def exchange(self, token: bytes, address: Any, count: int = 2) -> None:
        """Send some datagrams, one after the other, and get each again and nothing else."""
        sent = []
        for datagram in lines_of(token, count):
            self.transport.sendto(datagram, address)
            sent.append(("datagram", datagram))
            await self.happened("datagram", len(sent))
            assert [event for event in self.events if event[0] != "made"] == sent
