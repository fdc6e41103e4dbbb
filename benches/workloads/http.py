"""HTTP, as server and as client."""

from __future__ import annotations

import asyncio
from time import perf_counter as clock

from benches.servers import web
from benches.workload import InProcess, Served, check

_BODY = 10 * 1024
_AT_ONCE = 100


async def downloads(count: int, port: int) -> float:
    """Download with aiohttp, so many at once as its connector allows."""
    import aiohttp

    url = f"http://127.0.0.1:{port}/"
    expected = (bytes(range(ord("a"), ord("z") + 1)) * (_BODY // 26 + 1))[:_BODY]
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)

    async def download(session: aiohttp.ClientSession) -> bool:
        async with session.get(url) as response:
            return response.status == 200 and await response.read() == expected

    async with aiohttp.ClientSession(connector=connector) as session:
        begin = clock()
        right = await asyncio.gather(*(download(session) for _ in range(count)))
        took = clock() - begin
    check(len(right) == count and all(right), "a download is wrong")
    return took


_LOAD = ("http", "--connections", "64")

WORKLOADS = (
    Served(
        name="aiohttp-server",
        group="http",
        title="aiohttp server, 64 connections",
        server=web.aiohttp,
        load=_LOAD,
    ),
    Served(
        name="uvicorn",
        group="http",
        title="uvicorn with httptools, 64 connections",
        server=web.uvicorn,
        load=_LOAD,
    ),
    InProcess(
        name="aiohttp-client",
        group="http",
        title="aiohttp client, 2,000 downloads of 10 KiB",
        body=downloads,
        count=2000,
        server=("serve-http", "--size", str(_BODY)),
    ),
)
