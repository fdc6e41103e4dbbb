"""The connections that a server knows, as `close_clients()` and tools find them."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import pytest
from support.leaks import Ledger
from support.loops import Loop
from support.net import connected, served, turns

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="servers count their connections until then"
)


class Other(asyncio.Transport):
    """Somebody else's transport."""

    closed = False

    def close(self) -> None:
        self.closed = True


async def clients_of(server: Any, protocols: list[Any], count: int) -> list[Any]:
    """The server's transports, and the streams of so many clients."""
    address = server.sockets[0].getsockname()
    writers = [(await asyncio.open_connection(*address))[1] for _ in range(count)]
    while len(protocols) < count or any(one.transport is None for one in protocols):
        await turns(1)
    return writers


async def test_a_server_knows_its_connections_until_they_end(loop: Loop) -> None:
    async with served(loop) as (server, _, protocols), connected(loop) as (stranger, _, _):
        known: Any = server._clients
        assert len(known) == 0
        writers = await clients_of(server, protocols, 3)
        transports = [protocol.transport for protocol in protocols]
        assert len(known) == 3
        assert set(known) == set(known.copy()) == set(transports)
        assert all(transport in known for transport in transports)
        assert stranger not in known
        writers[0].close()
        await protocols[0].lost()
        await turns(1)
        assert transports[0] not in known
        assert set(known) == set(transports[1:])
        assert len(known) == 2
        for writer in writers[1:]:
            writer.close()


async def test_servers_of_a_loop_know_their_own_connections(loop: Loop) -> None:
    async with served(loop) as (first, _, of_first), served(loop) as (second, _, of_second):
        streams = await clients_of(first, of_first, 1) + await clients_of(second, of_second, 2)
        assert set(first._clients) == {protocol.transport for protocol in of_first}  # type: ignore[attr-defined]
        assert set(second._clients) == {protocol.transport for protocol in of_second}  # type: ignore[attr-defined]
        second.close_clients()
        for protocol in of_second:
            assert await protocol.lost() is None
        assert not of_first[0].transport.is_closing()
        for writer in streams:
            writer.close()


async def test_transports_of_somebody_else_are_known_as_long_as_they_live(loop: Loop) -> None:
    async with served(loop) as (server, _, protocols), connected(loop) as (stranger, _, _):
        known: Any = server._clients
        writers = await clients_of(server, protocols, 1)
        other, dropped = Other(), Other()
        for transport in (other, dropped, stranger):
            known.add(transport)
            known.add(transport)
        assert len(known) == 4
        assert set(known) == {protocols[0].transport, other, dropped, stranger}
        del dropped, transport
        gc.collect()
        assert len(known) == 3
        known.discard(stranger)
        known.discard(stranger)
        assert set(known) == {protocols[0].transport, other}
        server.close()
        server.close_clients()
        assert other.closed
        await protocols[0].lost()
        await turns(1)
        server._detach(other)  # type: ignore[attr-defined]
        assert len(known) == 0
        await server.wait_closed()
        for writer in writers:
            writer.close()


async def test_a_connection_that_is_dropped_is_not_waited_for(
    loop: Loop, nothing_left_behind: Ledger
) -> None:
    async with served(loop) as (server, _, protocols):
        known: Any = server._clients
        writers = await clients_of(server, protocols, 1)
        protocols[0].transport.pause_reading()
        protocols.pop().transport = None
        lost = nothing_left_behind.take_lost_errors()
        assert any("unclosed transport" in error for error in lost)
        assert len(known) == 0
        assert list(known) == []
        server.close()
        await server.wait_closed()
        writers[0].close()


async def test_a_connection_is_known_while_a_file_is_sent(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 24))
    async with served(loop) as (server, _, protocols):
        writers = await clients_of(server, protocols, 1)
        with path.open("rb") as file:
            sending = asyncio.ensure_future(loop.sendfile(protocols[0].transport, file))
            await turns(3)
            assert not sending.done()
            assert set(server._clients) == {protocols[0].transport}  # type: ignore[attr-defined]
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        server.abort_clients()
        await protocols[0].lost()
        writers[0].transport.abort()
