"""The server that compared programs talk to, in a process of its own.

It answers each line with a line, ``ANSWER_DELAY`` later, as a service that has something to look up
would. All contestants talk to the same server. It ends when its standard input does, so that it
never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

import rondel
from rondel.compare.limits import raise_open_files

HOST = "127.0.0.1"
REQUEST = b"?\n"
ANSWER = b"!\n"

ANSWER_DELAY = 0.01
"""Seconds between a request and its answer."""

# One accept queue holds at most net.core.somaxconn connections (4096), and a client that finds it
# full tries again a second later; eight hold 10,000 that come at once.
_LISTENERS = 8
_BACKLOG = 4096


class _Answering(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, _: bytes) -> None:
        self._loop.call_later(ANSWER_DELAY, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(
            lambda: _Answering(loop), HOST, 0, family=socket.AF_INET, backlog=_BACKLOG
        )
        for _ in range(_LISTENERS)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps(ports), flush=True)
    parent_is_gone = loop.create_future()
    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), parent_is_gone.set_result, None)
    await parent_is_gone
    loop.remove_reader(sys.stdin.fileno())
    for server in servers:
        server.close()


def main() -> None:
    """Print the ports as JSON and answer until standard input ends."""
    raise_open_files()
    rondel.run(_serve())
