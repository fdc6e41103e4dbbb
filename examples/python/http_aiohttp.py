"""An HTTP server and its client in one program, with aiohttp, on loopback.

What to see: a hundred requests share a few connections; an upload and a download are streamed
piece by piece; an error of the server arrives as an exception of the client. aiohttp is written for
asyncio and knows nothing of the loop it runs on.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

try:
    import aiohttp
    from aiohttp import web
except ImportError:
    sys.exit("this example needs aiohttp: pip install aiohttp")


# The server: one coroutine for each request.


async def greet(request: web.Request) -> web.Response:
    """GET /greet/NAME: a JSON answer."""
    return web.json_response({"hello": request.match_info["name"]})


async def digest(request: web.Request) -> web.Response:
    """POST /digest: hash the body as it comes in; it is never whole in memory."""
    sha256, size = hashlib.sha256(), 0
    async for piece in request.content.iter_chunked(64 * 1024):
        sha256.update(piece)
        size += len(piece)
    return web.json_response({"size": size, "sha256": sha256.hexdigest()})


async def squares(request: web.Request) -> web.StreamResponse:
    """GET /squares: lines that are sent as they are made."""
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(1, 6):
        await response.write(f"{number * number}\n".encode())
    await response.write_eof()
    return response


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Run the server on a free port; yield its URL; close every connection in the end."""
    application = web.Application()
    application.router.add_get("/greet/{name}", greet)
    application.router.add_post("/digest", digest)
    application.router.add_get("/squares", squares)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# The client.


async def pieces() -> AsyncIterator[bytes]:
    """A body of 1 MiB that is made while it is sent."""
    for _ in range(16):
        yield bytes(64 * 1024)


async def ask(session: aiohttp.ClientSession) -> None:
    """Talk to the server in each of its ways."""

    async def name_of(name: str) -> str:
        async with session.get(f"/greet/{name}") as response:
            return str((await response.json())["hello"])

    names = [f"guest {i}" for i in range(100)]
    answers = await asyncio.gather(*(name_of(name) for name in names))
    print(f"{len(answers)} requests at once, every answer right: {answers == names}")

    async with session.post("/digest", data=pieces()) as response:
        reply = await response.json()
    expected = hashlib.sha256(bytes(2**20)).hexdigest()
    print(f"uploaded {reply['size']} bytes, checksum right: {reply['sha256'] == expected}")

    async with session.get("/squares") as response:
        print("streamed lines:", *[line.decode().strip() async for line in response.content])

    try:
        async with session.get("/nowhere", raise_for_status=True):
            pass
    except aiohttp.ClientResponseError as error:
        print(f"an error is an exception: {error.status} {error.message}")


async def main() -> None:
    """Serve and ask, on the same loop."""
    async with (
        serving() as server,
        aiohttp.ClientSession(server, connector=aiohttp.TCPConnector(limit=10)) as session,
    ):
        await ask(session)
    print("server and client closed")


if __name__ == "__main__":
    asyncio.run(main())
