"""Protocols that record what their transport tells them, and let a test wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Event = tuple[Any, ...]


class Watched:
    """A record of events that a coroutine can wait on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.received = bytearray()
        self.transport: Any = None
        self._waiters: list[asyncio.Future[None]] = []

    def record(self, *event: Any) -> None:
        """Add an event and wake those who wait."""
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def names(self) -> list[str]:
        """The events' names, in order."""
        return [event[0] for event in self.events]

    def count(self, name: str) -> int:
        """How often the event happened."""
        return self.names().count(name)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until ``reached()`` is true; it is asked again after each event."""
        while not reached():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def happened(self, name: str, times: int = 1) -> Event:
        """Wait until the event has happened so many times; the last of them."""
        await self.until(lambda: self.count(name) >= times)
        return [event for event in self.events if event[0] == name][times - 1]

    async def got(self, size: int) -> bytes:
        """Wait until ``size`` bytes have come in all; what has come so far."""
        await self.until(lambda: len(self.received) >= size)
        return bytes(self.received)

    async def lost(self) -> BaseException | None:
        """Wait for ``connection_lost``; its argument."""
        error: BaseException | None = (await self.happened("lost"))[1]
        return error


class Recorder(Watched, asyncio.Protocol):
    """A stream protocol that records its calls.

    ``keep_open`` is what ``eof_received`` returns.
    """

    def __init__(self, *, keep_open: bool | None = None) -> None:
        super().__init__()
        self.keep_open = keep_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.record("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.record("data", data)

    def eof_received(self) -> bool | None:
        self.record("eof")
        return self.keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.record("lost", exc)

    def pause_writing(self) -> None:
        self.record("pause")

    def resume_writing(self) -> None:
        self.record("resume")


class Echo(Recorder):
    """Writes back what it receives."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        super().data_received(data)


class BufferedRecorder(Watched, asyncio.BufferedProtocol):
    """A buffered protocol that records its calls; ``size`` bytes of buffer."""

    def __init__(self, size: int = 1024, *, keep_open: bool | None = None) -> None:
        super().__init__()
        self.buffer = bytearray(size)
        self.keep_open = keep_open
        self.hints: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.record("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        self.record("data", bytes(self.buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        self.record("eof")
        return self.keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.record("lost", exc)


class DatagramRecorder(Watched, asyncio.DatagramProtocol):
    """A datagram protocol that records its calls."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.record("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.record("datagram", data, addr)

    def error_received(self, exc: Exception) -> None:
        self.record("error", exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.record("lost", exc)

    def pause_writing(self) -> None:
        self.record("pause")

    def resume_writing(self) -> None:
        self.record("resume")
