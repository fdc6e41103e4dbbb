"""Factories of loops that are no good, for what has to notice that."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from benches.servers.protocols import Echo


def loses_timers() -> asyncio.AbstractEventLoop:
    """Make a loop on which every tenth timer never fires."""
    loop = asyncio.SelectorEventLoop()
    call_at = loop.call_at
    timers = 0

    def lossy(when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(when + 60 * (timers % 10 == 0), *arguments, **options)

    loop.call_at = lossy  # type: ignore[assignment,method-assign]
    return loop


def has_no_servers() -> asyncio.AbstractEventLoop:
    """Make a loop that lacks a method."""
    loop = asyncio.SelectorEventLoop()

    async def lacking(*_: Any, **__: Any) -> asyncio.Server:
        raise NotImplementedError

    loop.create_server = lacking  # type: ignore[method-assign]
    return loop


class WrongEcho(Echo):
    """Writes something else than it gets."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data[:-1] + b"\0")


def changes_bytes() -> asyncio.AbstractEventLoop:
    """Make a loop whose servers do not send what they are told to."""
    loop = asyncio.SelectorEventLoop()
    create_server = loop.create_server

    async def lying(_: Any, *arguments: Any, **options: Any) -> asyncio.Server:
        return await create_server(WrongEcho, *arguments, **options)

    loop.create_server = lying  # type: ignore[assignment,method-assign]
    return loop


def dies() -> asyncio.AbstractEventLoop:
    """End the process instead of making a loop."""
    os._exit(7)
