"""The smallest HTTP client, twice: as a blocking function and as a coroutine.

Both do the same on the same kind of socket; they differ in who waits. In `get_blocking` the thread
waits. In `get` only the coroutine waits, and the loop runs others meanwhile: that is what each
`await` says. (`http_aiohttp.py` and `mirror.py` show a complete client.)
"""

from __future__ import annotations

import asyncio
import http.client
import re
from urllib.parse import urlsplit


def get_blocking(url: str) -> bytes:
    """Return the body at `url`; the calling thread waits. Raises `OSError` if there is none."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"{url}: HTTP status {response.status}")
        return response.read()
    finally:
        connection.close()


async def get(url: str) -> bytes:
    """Return the body at `url`; the loop goes on meanwhile. Raises `OSError` if there is none."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = head.split(maxsplit=2)[1]
        length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
        if status != "200" or length is None:
            raise OSError(f"{url}: HTTP status {status}")
        return await reader.readexactly(int(length[1]))
    except asyncio.IncompleteReadError as error:
        raise OSError(f"{url}: the connection ended too early") from error
    finally:
        writer.close()
        await writer.wait_closed()
