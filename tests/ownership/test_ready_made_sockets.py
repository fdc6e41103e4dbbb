"""Sockets and pipes that the caller made: whose they are when a call has failed, or succeeded.

A call that fails before a transport or a server has taken the socket over leaves it as it was: it
is open, it works, and nobody watches it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import open_descriptors
from support.loops import STDLIB, Loop
from support.net import connected, end, receive_all, socket_pair, tcp_socket_pair, turns
from support.ownership.pulse import Pulse
from support.protocols import DatagramRecorder, Echo, Recorder


def fails() -> Any:
    raise LookupError("factory")


async def answers(loop: Loop, address: Any) -> bool:
    """Whether an echo server answers there."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.setblocking(False)
        await loop.sock_connect(client, address)
        await loop.sock_sendall(client, b"ping")
        return await loop.sock_recv(client, 4) == b"ping"


async def assert_works(loop: Loop, left: socket.socket, right: socket.socket) -> None:
    """The connection is open in both directions, and nobody else reads or watches it."""
    assert left.fileno() >= 0
    assert not loop.remove_reader(left)
    assert not loop.remove_writer(left)
    left.setblocking(False)
    for one, other in ((left, right), (right, left)):
        await loop.sock_sendall(one, b"works")
        assert await loop.sock_recv(other, 100) == b"works"


Failing = Callable[[Loop, socket.socket], Awaitable[Any]]
CONNECTIONS: dict[str, tuple[type[Exception], Failing]] = {
    "create_connection, factory fails": (
        LookupError,
        lambda loop, sock: loop.create_connection(fails, sock=sock),
    ),
    "create_connection, host too": (
        ValueError,
        lambda loop, sock: loop.create_connection(Recorder, "127.0.0.1", 1, sock=sock),
    ),
    "create_connection, no host name for TLS": (
        ValueError,
        lambda loop, sock: loop.create_connection(Recorder, sock=sock, ssl=True),
    ),
    "create_unix_connection, factory fails": (
        LookupError,
        lambda loop, sock: loop.create_unix_connection(fails, sock=sock),
    ),
    "create_unix_connection, path too": (
        ValueError,
        lambda loop, sock: loop.create_unix_connection(Recorder, "/no", sock=sock),
    ),
    "connect_accepted_socket, factory fails": (
        LookupError,
        lambda loop, sock: loop.connect_accepted_socket(fails, sock),
    ),
    "connect_accepted_socket, timeout without TLS": (
        ValueError,
        lambda loop, sock: loop.connect_accepted_socket(Recorder, sock, ssl_handshake_timeout=1),
    ),
    "create_datagram_endpoint, a stream": (
        ValueError,
        lambda loop, sock: loop.create_datagram_endpoint(DatagramRecorder, sock=sock),
    ),
    "create_server, host too": (
        ValueError,
        lambda loop, sock: loop.create_server(Recorder, "127.0.0.1", 0, sock=sock),
    ),
}


@pytest.mark.parametrize("case", CONNECTIONS)
async def test_a_call_that_fails_leaves_the_connection_as_it_was(loop: Loop, case: str) -> None:
    error, call = CONNECTIONS[case]
    with socket_pair() as (left, right):
        with pytest.raises(error):
            await call(loop, left)
        await turns(2)
        await assert_works(loop, left, right)


async def test_a_wrong_kind_of_socket_is_left_as_it_was(loop: Loop) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
        for call in (
            loop.create_connection(Recorder, sock=sock),
            loop.create_server(Recorder, sock=sock),
            loop.connect_accepted_socket(Recorder, sock),
            loop.create_unix_connection(Recorder, sock=sock),
            loop.create_unix_server(Recorder, sock=sock),
        ):
            with pytest.raises(ValueError, match="tream Socket was expected"):
                await call
        assert sock.getsockname() == address
        with pytest.raises(LookupError):
            await loop.create_datagram_endpoint(fails, sock=sock)
        with pytest.raises(ValueError, match="can not be used when sock is specified"):
            await loop.create_datagram_endpoint(DatagramRecorder, sock=sock, reuse_port=True)
        sock.sendto(b"works", address)
        assert sock.recv(10) == b"works"


async def test_a_tls_socket_is_refused_and_left_alone(
    loop: Loop, certificates: Certificates
) -> None:
    context = certificates.client_context()
    with tcp_socket_pair() as (client, _):
        wrapped = context.wrap_socket(
            client, server_hostname="localhost", do_handshake_on_connect=False
        )
        with wrapped:
            for call in (
                loop.create_connection(Recorder, sock=wrapped),
                loop.create_server(Recorder, sock=wrapped),
                loop.connect_accepted_socket(Recorder, wrapped),
                loop.sock_recv(wrapped, 1),
            ):
                with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                    await call
            assert isinstance(wrapped, ssl.SSLSocket)
            assert wrapped.fileno() >= 0


async def test_a_socket_that_has_a_transport_gets_no_second_one(loop: Loop, loop_kind: str) -> None:
    if loop_kind == STDLIB and sys.version_info < (3, 12):
        pytest.skip("before 3.12 the standard loop does not look")
    async with connected(loop, Echo) as (transport, _, peer):
        taken = transport.get_extra_info("socket")
        sock = socket.socket(taken.family, taken.type, fileno=taken.fileno())
        for call in (
            loop.create_connection(Recorder, sock=sock),
            loop.connect_accepted_socket(Recorder, sock),
        ):
            with pytest.raises(RuntimeError, match="is used by transport"):
                await call
        sock.detach()
        peer.send(b"ping")
        assert await loop.sock_recv(peer, 4) == b"ping"


@pytest.mark.parametrize("turn", range(5))
async def test_a_cancelled_server_leaves_the_socket_to_its_owner(
    loop: Loop, loop_kind: str, turn: int, tmp_path: Path
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("cancelled in its last turn, the standard loop's server serves on")
    pulse = Pulse(loop)
    path = str(tmp_path / "server")
    for family, name, create in (
        (socket.AF_INET, ("127.0.0.1", 0), loop.create_server),
        (socket.AF_UNIX, path, loop.create_unix_server),
    ):
        with socket.socket(family) as sock:
            sock.bind(name)
            creating: asyncio.Task[Any] = loop.create_task(create(Echo, sock=sock))
            pulse.after(turn, creating.cancel)
            try:
                server = await creating
            except asyncio.CancelledError:
                assert not loop.remove_reader(sock)
                server = await create(Echo, sock=sock)
            assert await answers(loop, sock.getsockname())
            server.close()
            await server.wait_closed()
            await turns(2)
            assert sock.fileno() == -1
    pulse.stop()


async def test_a_server_closes_the_socket_it_was_given(loop: Loop) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await loop.create_server(Echo, sock=sock, start_serving=False)
    assert sock.fileno() >= 0
    server.close()
    await server.wait_closed()
    assert sock.fileno() == -1


async def test_a_transport_closes_the_socket_it_was_given(loop: Loop) -> None:
    with socket_pair() as (left, right):
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        transport.close()
        await protocol.lost()
        await turns(1)
        assert left.fileno() == -1
        assert await receive_all(loop, right) == b""


async def test_a_failed_handshake_closes_the_socket_that_was_given(
    loop: Loop, certificates: Certificates
) -> None:
    loop.set_debug(False)
    with tcp_socket_pair() as (left, right):
        right.send(b"this is not TLS\r\n" * 100)
        with pytest.raises(OSError):
            await loop.create_connection(
                Recorder,
                sock=left,
                ssl=certificates.client_context(),
                server_hostname="localhost",
            )
        await turns(3)
        assert left.fileno() == -1


async def test_closing_the_socket_does_not_take_it_from_its_transport(
    loop: Loop, loop_kind: str
) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard transport goes on with the number, whoever has it then")
    with socket_pair() as (left, right):
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        left.close()
        with socket_pair() as (_, _):
            transport.write(b"written")
            right.send(b"received")
            assert await protocol.got(8) == b"received"
            assert await loop.sock_recv(right, 100) == b"written"
        await end(transport, protocol)
        assert await receive_all(loop, right) == b""


@pytest.fixture
def pipe() -> Iterator[tuple[Any, Any]]:
    """A pipe's reading and writing end, as files."""
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as source, open(write, "wb", buffering=0) as sink:
        yield source, sink


async def test_pipes_are_left_as_they_were_when_the_factory_fails(
    loop: Loop, pipe: tuple[Any, Any]
) -> None:
    source, sink = pipe
    with pytest.raises(LookupError):
        await loop.connect_read_pipe(fails, source)
    with pytest.raises(LookupError):
        await loop.connect_write_pipe(fails, sink)
    sink.write(b"works")
    assert source.read(10) == b"works"


async def test_regular_files_are_refused_as_pipes_and_left_open(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = open_descriptors()
    with path.open("r+b", buffering=0) as file:
        for connect in (loop.connect_read_pipe, loop.connect_write_pipe):
            with pytest.raises(ValueError, match="ipe transport is"):
                await connect(Recorder, file)
            await turns(2)
            assert os.fstat(file.fileno())
        assert file.read() == b"content"
    assert open_descriptors() == before


async def test_start_tls_that_is_refused_leaves_the_transport_as_it_was(loop: Loop) -> None:
    async with connected(loop, Echo) as (transport, protocol, peer):
        with pytest.raises(TypeError):
            await loop.start_tls(transport, protocol, None)  # type: ignore[arg-type]
        assert transport.get_protocol() is protocol
        peer.send(b"ping")
        assert await loop.sock_recv(peer, 4) == b"ping"


async def test_an_address_that_cannot_be_bound_leaves_no_socket(loop: Loop) -> None:
    with socket.create_server(("127.0.0.2", 0)) as occupied:
        port = occupied.getsockname()[1]
        before = open_descriptors()
        with pytest.raises(OSError, match="error while attempting to bind"):
            await loop.create_server(Echo, ["127.0.0.1", "127.0.0.2"], port)
        with pytest.raises(OSError, match="error while attempting to bind"):
            await loop.create_connection(Recorder, "127.0.0.1", 1, local_addr=("127.0.0.2", port))
        with socket.socket(type=socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match="already in use"):
                await loop.create_datagram_endpoint(DatagramRecorder, datagram.getsockname())
        assert open_descriptors() == before


async def test_a_unix_path_belongs_to_its_server_from_3_13_on(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "server"
    server = await loop.create_unix_server(Echo, path)
    assert await answers(loop, str(path))
    server.close()
    await server.wait_closed()
    assert path.exists() == (sys.version_info < (3, 13))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before 3.13 a path is never removed")
async def test_a_path_that_was_replaced_is_not_removed(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "server"
    first = await loop.create_unix_server(Echo, path)
    second = await loop.create_unix_server(Echo, path)  # takes the path over
    first.close()
    await first.wait_closed()
    assert await answers(loop, str(path))
    second.close()
    await second.wait_closed()
    assert not path.exists()
    kept = await loop.create_unix_server(Echo, path, cleanup_socket=False)
    kept.close()
    await kept.wait_closed()
    assert path.exists()
