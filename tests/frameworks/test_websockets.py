"""websockets serves and asks on one loop, by plain TCP, by TLS and by a unix socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library

websockets = library("websockets")
library("websockets.asyncio.client")
library("websockets.asyncio.server")

MEBIBYTE = 2**20
BODY = random.Random(3).randbytes(2 * MEBIBYTE)

Handler = Callable[[Any], Awaitable[None]]
Connect = Callable[..., Any]


async def echo(connection: Any) -> None:
    """Send each message back."""
    async for message in connection:
        await connection.send(message)


@pytest.fixture(params=["TCP", "TLS", "unix"])
def serving(request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path) -> Any:
    """Starts a server; the context yields it, and a function that connects to it."""
    client, server = websockets.asyncio.client, websockets.asyncio.server

    @asynccontextmanager
    async def context(handler: Handler = echo) -> AsyncIterator[tuple[Any, Connect]]:
        if request.param == "unix":
            path = str(tmp_path / "socket")
            async with server.unix_serve(handler, path) as serving:
                yield serving, lambda **options: client.unix_connect(path, **options)
            return
        tls = certificates if request.param == "TLS" else None
        options: Any = {"ssl": tls.server_context()} if tls else {}
        async with server.serve(handler, "127.0.0.1", 0, **options) as serving:
            port = serving.sockets[0].getsockname()[1]
            trusting: Any = {"ssl": tls.client_context()} if tls else {}
            url = f"wss://localhost:{port}" if tls else f"ws://127.0.0.1:{port}"
            yield (
                serving,
                lambda **options: client.connect(url, proxy=None, **trusting, **options),
            )

    return context


async def test_messages_of_a_mebibyte_are_echoed(loop: Loop, serving: Any) -> None:
    async with serving() as (_, connect):

        async def talk(number: int) -> None:
            async with connect(compression=None) as connection:
                for start in range(number, number + 3):
                    message = BODY[start : start + MEBIBYTE]
                    await connection.send(message)
                    assert await connection.recv() == message

        await asyncio.gather(*map(talk, range(4)))


async def test_a_thousand_small_messages_are_echoed_in_order(loop: Loop, serving: Any) -> None:
    async with serving() as (_, connect), connect() as connection:

        async def send() -> None:
            for number in range(1_000):
                await connection.send(f"message {number}")

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            for number in range(1_000):
                assert await connection.recv() == f"message {number}"


async def test_a_message_in_fragments_arrives_whole(loop: Loop, serving: Any) -> None:
    async with serving() as (_, connect), connect() as connection:
        await connection.send(BODY[start : start + 9_999] for start in range(0, 100_000, 9_999))
        assert await connection.recv() == BODY[:109_989]


async def test_a_broadcast_reaches_every_client(loop: Loop, serving: Any) -> None:
    async def wait(connection: Any) -> None:
        await connection.wait_closed()

    async with serving(wait) as (server, connect):

        async def receive() -> list[str]:
            async with connect() as connection:
                return [await connection.recv() for _ in range(10)]

        clients = [loop.create_task(receive()) for _ in range(20)]
        while len(server.connections) < 20:
            await asyncio.sleep(0)
        for number in range(10):
            websockets.asyncio.server.broadcast(server.connections, f"news {number}")
        expected = [f"news {number}" for number in range(10)]
        assert await asyncio.gather(*clients) == [expected] * 20


async def test_a_server_that_closes_says_goodbye_to_its_clients(loop: Loop, serving: Any) -> None:
    async with serving() as (server, connect), connect() as connection:
        await (await connection.ping())
        server.close()
        with pytest.raises(websockets.ConnectionClosedOK) as closed:
            await connection.recv()
        assert closed.value.rcvd.code == 1001
        await server.wait_closed()


async def test_a_connection_that_breaks_off_is_an_error_at_the_other_end(
    loop: Loop, serving: Any
) -> None:
    seen: asyncio.Queue[Exception] = asyncio.Queue()

    async def receive(connection: Any) -> None:
        try:
            await connection.recv()
        except websockets.ConnectionClosed as error:
            seen.put_nowait(error)

    async with serving(receive) as (_, connect):
        connection = await connect()
        connection.transport.abort()
        assert isinstance(await seen.get(), websockets.ConnectionClosedError)
        await connection.wait_closed()


async def test_a_receive_that_is_cancelled_loses_no_message(loop: Loop, serving: Any) -> None:
    async with serving() as (_, connect), connect() as connection:
        received: list[str] = []
        for number in range(200):
            await connection.send(str(number))
            waiting = loop.create_task(connection.recv())
            for _ in range(number % 7):
                await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                received.append(await waiting)
        while len(received) < 200:
            received.append(await connection.recv())
        assert received == [str(number) for number in range(200)]
