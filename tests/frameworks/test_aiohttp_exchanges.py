"""aiohttp's client and server on one loop: many at once, large bodies, TLS, websockets, ends."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library

aiohttp = library("aiohttp")
web = library("aiohttp.web")

MEBIBYTE = 2**20
BODY = random.Random(1).randbytes(8 * MEBIBYTE)
DIGEST = hashlib.sha256(BODY).hexdigest()

Handler = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def serving(
    handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Any, str]]:
    """A server whose every path is for ``handler``; yields its runner and its address."""
    application = web.Application(client_max_size=64 * MEBIBYTE)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host = "https://localhost" if tls else "http://127.0.0.1"
        yield runner, f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def session(certificates: Certificates | None = None, **options: Any) -> Any:
    """A client; with ``certificates`` one that trusts the server's."""
    tls = certificates.client_context() if certificates else False
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, **options))


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """The data, a piece at a time."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def stream(request: Any) -> Any:
    """Send BODY, of unknown length, a piece at a time."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in pieces(BODY):
        await response.write(piece)
    await response.write_eof()
    return response


async def digest(request: Any) -> Any:
    """Answer with the digest of what the client streams."""
    sha = hashlib.sha256()
    async for piece in request.content.iter_any():
        sha.update(piece)
    return web.Response(text=sha.hexdigest())


@pytest.fixture(params=["plain", "TLS"])
def trust(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """Certificates when the exchange is by TLS."""
    return certificates if request.param == "TLS" else None


def server_context(trust: Certificates | None) -> ssl.SSLContext | None:
    return trust.server_context() if trust else None


async def test_hundreds_of_downloads_at_once(loop: Loop, trust: Certificates | None) -> None:
    count = 100 if trust or loop.get_debug() else 500  # handshakes and debug mode take long
    present, most = 0, 0
    everybody = asyncio.Event()

    async def file(request: Any) -> Any:
        nonlocal present, most
        present += 1
        most = max(most, present)
        if present == count:
            everybody.set()
        await everybody.wait()
        present -= 1
        start = int(request.query["start"])
        return web.Response(body=BODY[start : start + 50_000])

    async with serving(file, server_context(trust)) as (_, url), session(trust, limit=0) as client:

        async def download(start: int) -> bool:
            async with client.get(f"{url}/?start={start}") as response:
                return bytes(await response.read()) == BODY[start : start + 50_000]

        assert all(await asyncio.gather(*map(download, range(count))))
    assert most == count


async def test_bodies_of_many_mebibytes_are_streamed_both_ways(
    loop: Loop, trust: Certificates | None
) -> None:
    async with serving(digest, server_context(trust)) as (_, url), session(trust) as client:
        async with client.post(url, data=pieces(BODY)) as response:
            assert await response.text() == DIGEST
        async with client.post(url, data=BODY[:MEBIBYTE]) as response:
            assert await response.text() == hashlib.sha256(BODY[:MEBIBYTE]).hexdigest()
    async with serving(stream, server_context(trust)) as (_, url), session(trust) as client:
        sha = hashlib.sha256()
        async with client.get(url) as response:
            async for piece in response.content.iter_chunked(70_000):
                sha.update(piece)
        assert sha.hexdigest() == DIGEST


async def test_a_file_is_served_whole_and_in_part(
    loop: Loop, trust: Certificates | None, tmp_path: Any
) -> None:
    (tmp_path / "body").write_bytes(BODY)

    async def file(request: Any) -> Any:
        return web.FileResponse(tmp_path / "body")

    async with serving(file, server_context(trust)) as (_, url), session(trust) as client:
        async with client.get(url) as response:
            assert await response.read() == BODY
        async with client.get(url, headers={"Range": "bytes=1000000-2999999"}) as response:
            assert response.status == 206
            assert await response.read() == BODY[1_000_000:3_000_000]


async def test_websockets_echo_messages_of_a_mebibyte(
    loop: Loop, trust: Certificates | None
) -> None:
    async def echo(request: Any) -> Any:
        socket = web.WebSocketResponse(max_msg_size=2 * MEBIBYTE)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async with serving(echo, server_context(trust)) as (_, url), session(trust) as client:

        async def talk(number: int) -> None:
            async with client.ws_connect(url, max_msg_size=2 * MEBIBYTE) as socket:
                for start in range(number, number + 3):
                    message = BODY[start : start + MEBIBYTE]
                    await socket.send_bytes(message)
                    assert await socket.receive_bytes() == message
            assert socket.close_code == aiohttp.WSCloseCode.OK

        await asyncio.gather(*map(talk, range(4)))


async def test_a_connection_is_used_for_many_requests(
    loop: Loop, trust: Certificates | None
) -> None:
    peers = set()

    async def who(request: Any) -> Any:
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text=request.path)

    async with serving(who, server_context(trust)) as (_, url), session(trust, limit=1) as client:
        for number in range(100):
            async with client.get(f"{url}/{number}") as response:
                assert await response.text() == f"/{number}"
    assert len(peers) == 1


async def test_a_client_that_leaves_in_the_midst_of_a_response_ends_only_that_response(
    loop: Loop, trust: Certificates | None
) -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def endless(request: Any) -> Any:
        if request.path == "/whole":
            return web.Response(text="whole")
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(BODY[:MEBIBYTE])
                await asyncio.sleep(0)  # a write that need not wait is not a turn of the loop
        except (ConnectionError, asyncio.CancelledError) as error:
            ended.put_nowait(type(error).__name__)
            raise

    async with serving(endless, server_context(trust)) as (_, url), session(trust) as client:
        for _ in range(5):
            response = await client.get(f"{url}/endless")
            await response.content.readexactly(3 * MEBIBYTE)
            response.close()
            await ended.get()
            async with client.get(f"{url}/whole") as response:
                assert await response.text() == "whole"


async def test_a_server_that_leaves_in_the_midst_of_a_response_is_an_error_of_the_client(
    loop: Loop, trust: Certificates | None
) -> None:
    async def leave(request: Any) -> Any:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        request.transport.abort()
        return response

    async with serving(leave, server_context(trust)) as (_, url), session(trust) as client:
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
            async with client.get(url) as response:
                await response.read()


@pytest.mark.usefixtures("handshakes_may_break_off")
async def test_requests_that_time_out_or_are_cancelled_leave_the_others_alone(
    loop: Loop, trust: Certificates | None
) -> None:
    over = asyncio.Event()

    async def answer(request: Any) -> Any:
        if request.path == "/never":
            await over.wait()
        return web.Response(text=request.path)

    async with serving(answer, server_context(trust)) as (_, url), session(trust) as client:

        async def ask(path: str) -> str:
            async with client.get(f"{url}/{path}") as response:
                return str(await response.text())

        async def give_up(turns: int) -> None:
            task = loop.create_task(ask("never"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def time_out() -> None:
            with pytest.raises(TimeoutError):
                await client.get(f"{url}/never", timeout=aiohttp.ClientTimeout(total=0.05))

        kept = [ask(str(number)) for number in range(30)]
        lost = [give_up(turns) for turns in range(30)]
        answers, *_ = await asyncio.gather(asyncio.gather(*kept), time_out(), *lost)
        assert answers == [f"/{number}" for number in range(30)]
        over.set()


async def test_a_server_that_shuts_down_lets_a_request_in_progress_end(
    loop: Loop, trust: Certificates | None
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(request: Any) -> Any:
        begun.set()
        await release.wait()
        return web.Response(text="in time")

    async with serving(slow, server_context(trust)) as (runner, url), session(trust) as client:
        request = loop.create_task(client.get(url))
        await begun.wait()
        shutdown = loop.create_task(runner.cleanup())
        await asyncio.sleep(0)
        release.set()
        async with await request as response:
            assert await response.text() == "in time"
        await shutdown
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(url)


@pytest.mark.usefixtures("handshakes_may_break_off")
async def test_a_client_that_does_not_trust_the_server_says_why(
    loop: Loop, certificates: Certificates
) -> None:
    async with serving(digest, certificates.server_context()) as (_, url):
        strangers = aiohttp.TCPConnector(ssl=ssl.create_default_context())
        async with aiohttp.ClientSession(connector=strangers) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="local issuer"):
                await client.get(url)
