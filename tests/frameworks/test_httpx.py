"""httpx, over anyio's sockets, asks a server on the same loop, by plain HTTP and by TLS."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.required import library

httpx = library("httpx")
web = library("aiohttp.web")

MEBIBYTE = 2**20
BODY = random.Random(2).randbytes(4 * MEBIBYTE)


async def answer(request: Any) -> Any:
    """Stream BODY, or never answer, or tell the digest of what was sent."""
    if request.path == "/never":
        await asyncio.Event().wait()
    if request.path == "/stream":
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(BODY), 50_000):
            await response.write(BODY[start : start + 50_000])
        return response
    sha = hashlib.sha256()
    async for piece in request.content.iter_any():
        sha.update(piece)
    return web.json_response({"method": request.method, "digest": sha.hexdigest()})


@pytest.fixture(params=["plain", "TLS"])
def trust(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """Certificates when the exchange is by TLS."""
    return certificates if request.param == "TLS" else None


@asynccontextmanager
async def asking(trust: Certificates | None) -> AsyncIterator[Any]:
    """A client whose base address is a server that runs until the client is closed."""
    runner = web.AppRunner(
        web.Application(client_max_size=64 * MEBIBYTE),
        access_log=None,
        handler_cancellation=True,
    )
    runner.app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    try:
        tls = trust.server_context() if trust else None
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host = "https://localhost" if trust else "http://127.0.0.1"
        async with httpx.AsyncClient(
            base_url=f"{host}:{runner.addresses[0][1]}",
            verify=trust.client_context() if trust else False,
            timeout=20,
        ) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_many_requests_at_once_are_answered(loop: Loop, trust: Certificates | None) -> None:
    async with asking(trust) as client:

        async def post(number: int) -> None:
            body = BODY[: number * 3_000]
            response = await client.post("/", content=body)
            digest = hashlib.sha256(body).hexdigest()
            assert response.json() == {"method": "POST", "digest": digest}

        await asyncio.gather(*(post(number) for number in range(50)))


async def test_bodies_of_many_mebibytes_are_streamed_both_ways(
    loop: Loop, trust: Certificates | None
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 70_000):
            yield BODY[start : start + 70_000]

    async with asking(trust) as client:
        response = await client.put("/", content=pieces())
        assert response.json()["digest"] == hashlib.sha256(BODY).hexdigest()
        received = bytearray()
        async with client.stream("GET", "/stream") as response:
            async for piece in response.aiter_bytes():
                received += piece
        assert received == BODY


async def test_a_stream_left_early_leaves_the_client_of_use(
    loop: Loop, trust: Certificates | None
) -> None:
    async with asking(trust) as client:
        for _ in range(5):
            async with client.stream("GET", "/stream") as response:
                async for piece in response.aiter_bytes():
                    assert BODY.startswith(piece)
                    break
            assert (await client.get("/")).json()["method"] == "GET"


async def test_a_request_that_times_out_or_is_cancelled_leaves_the_client_of_use(
    loop: Loop, trust: Certificates | None
) -> None:
    async with asking(trust) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/never", timeout=httpx.Timeout(20, read=0.01))
        for turns in range(0, 40, 3):
            if trust:
                # With a connection at hand: httpcore never closes one cancelled in its handshake.
                await client.get("/")
            task = loop.create_task(client.get("/never"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await client.get("/")).json()["method"] == "GET"
