"""Unix domain stream sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loops import Loop
from support.net import end, turns
from support.protocols import Echo, Recorder


@pytest.fixture
def path() -> Iterator[str]:
    """A path for a socket, short enough for the kernel."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        yield str(Path(folder) / "socket")


async def test_server_and_client_echo(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    transport, protocol = await loop.create_unix_connection(Recorder, path)
    assert transport.get_extra_info("peername") == path
    assert transport.get_extra_info("socket").family == socket.AF_UNIX
    transport.write(b"ping")
    assert await protocol.got(4) == b"ping"
    transport.close()
    assert await protocol.lost() is None
    server.close()
    await server.wait_closed()
    await turns(3)


async def test_streams_over_a_unix_socket(loop: Loop, path: str) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(shout, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"quiet\n")
        assert await reader.readline() == b"QUIET\n"
        writer.close()
        await writer.wait_closed()


async def test_a_path_object_is_a_path(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, Path(path))
    transport, protocol = await loop.create_unix_connection(Recorder, path)
    transport.close()
    await protocol.lost()
    server.close()
    await server.wait_closed()
    await turns(3)


async def test_a_stale_socket_is_replaced(loop: Loop, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    server = await loop.create_unix_server(Echo, path)
    server.close()
    await server.wait_closed()


async def test_an_ordinary_file_is_not_replaced(loop: Loop, path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(OSError, match="is already in use"):
        await loop.create_unix_server(Echo, path)
    assert Path(path).read_text() == "precious"


async def test_a_missing_socket(loop: Loop, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        await loop.create_unix_connection(Recorder, path)


async def test_a_socket_nobody_listens_on(loop: Loop, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, path)


async def test_given_sockets_are_used(loop: Loop, path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    server = await loop.create_unix_server(Echo, sock=listener)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    transport, protocol = await loop.create_unix_connection(Recorder, sock=client)
    transport.write(b"ping")
    assert await protocol.got(4) == b"ping"
    await end(transport, protocol)
    server.close()
    await server.wait_closed()
    await turns(3)


async def test_contradicting_arguments_are_refused(loop: Loop, path: str) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        with pytest.raises(ValueError, match="path and sock can not be specified at the same"):
            await loop.create_unix_server(Echo, path, sock=unix)
        with pytest.raises(ValueError, match="path was not specified, and no sock specified"):
            await loop.create_unix_server(Echo)
        with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
            await loop.create_unix_server(Echo, sock=tcp)
        with pytest.raises(ValueError, match="path and sock can not be specified at the same"):
            await loop.create_unix_connection(Recorder, path, sock=unix)
        with pytest.raises(ValueError, match="no path and sock were specified"):
            await loop.create_unix_connection(Recorder)
        with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
            await loop.create_unix_connection(Recorder, sock=tcp)


async def test_an_abstract_address(loop: Loop) -> None:
    name = f"\0rondel-test-{os.getpid()}"
    server = await loop.create_unix_server(Echo, name)
    transport, protocol = await loop.create_unix_connection(Recorder, name)
    transport.write(b"ping")
    assert await protocol.got(4) == b"ping"
    await end(transport, protocol)
    server.close()
    await server.wait_closed()
    await turns(3)


async def test_half_close(loop: Loop, path: str) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(answer_at_the_end, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"everything")
        writer.write_eof()
        assert await reader.read() == b"got everything"
        writer.close()
        await writer.wait_closed()
