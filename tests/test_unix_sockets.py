"""Unix domain stream sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
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


# Names


async def echoes(loop: Loop, name: str | bytes | Path) -> asyncio.Transport:
    """Connect to an echo server and see it work; the connected transport."""
    transport, protocol = await loop.create_unix_connection(Recorder, name)  # type: ignore[arg-type]
    transport.write(b"ping")
    assert await protocol.got(4) == b"ping"
    return transport


async def close(server: asyncio.Server, *transports: asyncio.BaseTransport) -> None:
    for transport in transports:
        transport.close()
    server.close()
    await server.wait_closed()
    await turns(6)


@pytest.mark.parametrize("name", ["text", b"bytes", b"with a \0 in it", b"\xff\xfe"])
async def test_abstract_names_are_text_or_bytes_and_are_told_as_bytes(
    loop: Loop, name: str | bytes
) -> None:
    given: str | bytes
    if isinstance(name, str):
        given = f"\0{name} {os.getpid()}"
        told = given.encode()
    else:
        given = told = b"\0%b %d" % (name, os.getpid())
    accepted: list[Echo] = []
    server = await loop.create_unix_server(
        lambda: accepted.append(Echo()) or accepted[-1],  # type: ignore[func-returns-value]
        given,  # type: ignore[arg-type]
    )
    assert server.sockets[0].getsockname() == told
    transport = await echoes(loop, given)
    assert transport.get_extra_info("peername") == told
    assert transport.get_extra_info("sockname") == ""
    assert accepted[0].transport.get_extra_info("sockname") == told
    assert accepted[0].transport.get_extra_info("peername") == ""
    await close(server, transport)


@pytest.mark.parametrize("kind", ["text", "bytes", "path"])
async def test_a_path_may_be_given_in_any_form(loop: Loop, path: str, kind: str) -> None:
    given: str | bytes | Path = {"text": path, "bytes": os.fsencode(path), "path": Path(path)}[kind]
    server = await loop.create_unix_server(Echo, given)  # type: ignore[arg-type]
    transport = await echoes(loop, given)
    assert transport.get_extra_info("peername") == path
    await close(server, transport)


async def test_a_path_that_is_no_text_is_decoded_as_file_names_are(loop: Loop, path: str) -> None:
    name = os.fsencode(path) + b"\xff\xfe"
    server = await loop.create_unix_server(Echo, name)  # type: ignore[arg-type]
    transport = await echoes(loop, name)
    assert transport.get_extra_info("peername") == os.fsdecode(name)
    await close(server, transport)


async def test_a_client_with_a_name_is_known_by_it(loop: Loop, path: str) -> None:
    names: list[str | bytes] = [path + "client", b"\0client %d" % os.getpid()]
    accepted: list[Echo] = []
    server = await loop.create_unix_server(
        lambda: accepted.append(Echo()) or accepted[-1],  # type: ignore[func-returns-value]
        path,
    )
    transports: list[asyncio.BaseTransport] = []
    for name in names:
        client = socket.socket(socket.AF_UNIX)
        client.bind(name)
        client.setblocking(False)
        await loop.sock_connect(client, path)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=client)
        transport.write(b"ping")
        assert await protocol.got(4) == b"ping"
        assert transport.get_extra_info("sockname") == name
        assert accepted[-1].transport.get_extra_info("peername") == name
        transports.append(transport)
    await close(server, *transports)


async def test_the_longest_path_and_one_too_long(
    loop: Loop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(path).parent)
    longest = "x" * 107
    server = await loop.create_unix_server(Echo, longest)
    transport = await echoes(loop, longest)
    assert transport.get_extra_info("peername") == longest
    await close(server, transport)
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        await loop.create_unix_server(Echo, longest + "x")
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        await loop.create_unix_connection(Recorder, longest + "x")


# What is left of a server's path

removes = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="servers remove the paths of their sockets since 3.13"
)


@removes
async def test_a_server_removes_its_path_when_it_closes(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, path)
    await close(server)
    assert not os.path.lexists(path)


@removes
async def test_a_server_leaves_its_path_if_told_to(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, path, cleanup_socket=False)  # type: ignore[call-arg]
    await close(server)
    assert stat.S_ISSOCK(os.stat(path).st_mode)


@removes
async def test_a_server_leaves_what_has_taken_its_paths_place(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, path)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        await close(server)
        assert stat.S_ISSOCK(os.stat(path).st_mode)


@removes
async def test_a_server_whose_path_is_gone_closes_all_the_same(loop: Loop, path: str) -> None:
    server = await loop.create_unix_server(Echo, path)
    os.unlink(path)
    await close(server)
