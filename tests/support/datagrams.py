"""Datagram endpoints for tests, closed when the test is done with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.loops import Loop
from support.net import turns
from support.protocols import DatagramRecorder

Endpoint = tuple[asyncio.DatagramTransport, Any]
HERE = ("127.0.0.1", 0)


@asynccontextmanager
async def endpoint(
    loop: Loop, factory: Any = DatagramRecorder, **options: Any
) -> AsyncIterator[Endpoint]:
    """A datagram endpoint that is closed at the end."""
    transport, protocol = await loop.create_datagram_endpoint(factory, **options)
    try:
        yield transport, protocol
    finally:
        if not protocol.count("lost"):
            transport.close()
        await protocol.lost()
        await turns(2)


def address(transport: asyncio.BaseTransport) -> Any:
    """Where the endpoint receives."""
    return transport.get_extra_info("sockname")
