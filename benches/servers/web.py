"""HTTP by what people use: aiohttp, and uvicorn with httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

BODY = b"Hello, World!"
"""What the load generator expects."""

_running: set[object] = set()


async def aiohttp() -> str:
    """Serve one page with aiohttp."""
    from aiohttp import web

    async def hello(_: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="text/plain")

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    _running.add(site)
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


async def uvicorn() -> str:
    """Serve one page with uvicorn."""
    from uvicorn import Config, Server

    async def application(
        _scope: dict[str, Any],
        _receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    config = Config(
        application,
        host="127.0.0.1",
        port=0,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    _running.add(serving)
    while not server.started:
        if serving.done():
            await serving
            raise RuntimeError("uvicorn ended")
        await asyncio.sleep(0.001)
    host, port = server.servers[0].sockets[0].getsockname()
    return f"{host}:{port}"
