"""Echo by streams and by ``sock_*``: a task for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket

BACKLOG = 4096


async def readline() -> str:
    """Send each line back."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    return await _serve(answer)


async def readexactly() -> str:
    """Send messages back that begin with the length of the rest."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                length = await reader.readexactly(4)
                rest = await reader.readexactly(int.from_bytes(length))
                writer.write(length + rest)
                await writer.drain()
        writer.close()

    return await _serve(answer)


async def sock() -> str:
    """Serve with ``sock_accept``, ``sock_recv`` and ``sock_sendall``."""
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setblocking(False)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    tasks: set[asyncio.Task[None]] = set()

    async def answer(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with connection, contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(connection, 64 * 1024):
                await loop.sock_sendall(connection, data)

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(answer(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    tasks.add(asyncio.create_task(accept()))
    host, port = listener.getsockname()
    return f"{host}:{port}"


async def _serve(answer: object) -> str:
    server = await asyncio.start_server(
        answer,  # type: ignore[arg-type]
        "127.0.0.1",
        0,
        backlog=BACKLOG,
    )
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"
