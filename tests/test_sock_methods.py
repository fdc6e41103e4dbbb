"""``sock_*``: plain sockets driven by coroutines."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.leaks import Ledger
from support.loops import Loop
from support.net import (
    free_port,
    receive_all,
    receive_exactly,
    socket_pair,
    tcp_socket_pair,
    turns,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """Two connected non-blocking sockets."""
    with socket_pair() as sockets:
        yield sockets


@pytest.fixture
def listener(nothing_left_behind: Ledger) -> Iterator[socket.socket]:
    """A non-blocking listening TCP socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def datagram_pair(nothing_left_behind: Ledger) -> Iterator[Pair]:
    """Two non-blocking UDP sockets, bound to 127.0.0.1."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        yield one, two


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


# recv


async def test_recv_returns_what_is_there(loop: Loop, pair: Pair) -> None:
    pair[1].send(b"hello")
    assert await loop.sock_recv(pair[0], 3) == b"hel"
    assert await loop.sock_recv(pair[0], 100) == b"lo"


async def test_recv_waits_for_data(loop: Loop, pair: Pair) -> None:
    task = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(3)
    assert not task.done()
    pair[1].send(b"late")
    assert await task == b"late"


async def test_recv_returns_nothing_at_the_end(loop: Loop, pair: Pair) -> None:
    task = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(2)
    pair[1].close()
    assert await task == b""
    assert await loop.sock_recv(pair[0], 100) == b""


async def test_recv_passes_the_sockets_error_on(loop: Loop) -> None:
    with tcp_socket_pair() as (client, accepted):
        task = loop.create_task(loop.sock_recv(client, 100))
        await turns(2)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0] + [0] * 4))
        accepted.close()
        with pytest.raises(ConnectionResetError):
            await task


async def test_recv_into_fills_the_buffer(loop: Loop, pair: Pair) -> None:
    buffer = bytearray(8)
    pair[1].send(b"hello")
    assert await loop.sock_recv_into(pair[0], buffer) == 5
    assert bytes(buffer) == b"hello\0\0\0"
    task = loop.create_task(loop.sock_recv_into(pair[0], memoryview(buffer)[4:]))
    await turns(2)
    pair[1].send(b"more")
    assert await task == 4
    assert bytes(buffer) == b"hellmore"
    pair[1].close()
    assert await loop.sock_recv_into(pair[0], buffer) == 0


async def test_cancelling_a_recv_stops_watching_and_loses_nothing(loop: Loop, pair: Pair) -> None:
    task = loop.create_task(loop.sock_recv(pair[0], 100))
    await turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns(1)
    assert loop.remove_reader(pair[0]) is False
    pair[1].send(b"kept")
    assert await loop.sock_recv(pair[0], 100) == b"kept"


async def test_a_recv_cancelled_when_data_has_come_leaves_it_in_the_socket(
    loop: Loop, pair: Pair
) -> None:
    for _ in range(20):
        task = loop.create_task(loop.sock_recv(pair[0], 100))
        await turns(2)
        pair[1].send(b"kept")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await loop.sock_recv(pair[0], 100) == b"kept"


# sendall


async def test_sendall_sends_small_data_at_once(loop: Loop, pair: Pair) -> None:
    assert await loop.sock_sendall(pair[0], b"hello") is None  # type: ignore[func-returns-value]
    assert pair[1].recv(100) == b"hello"
    await loop.sock_sendall(pair[0], b"")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_sendall_waits_until_all_is_sent(
    loop: Loop, pair: Pair, kind: Callable[[bytes], Any]
) -> None:
    data = random_bytes(5_000_000)
    sending = loop.create_task(loop.sock_sendall(pair[0], kind(data)))
    await turns(3)
    assert not sending.done()
    received = await receive_exactly(loop, pair[1], len(data))
    await sending
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


async def test_sendall_fails_when_the_peer_is_gone(loop: Loop, pair: Pair) -> None:
    sending = loop.create_task(loop.sock_sendall(pair[0], bytes(5_000_000)))
    await turns(3)
    pair[1].close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await sending


async def test_cancelling_a_sendall_stops_watching(loop: Loop, pair: Pair) -> None:
    sending = loop.create_task(loop.sock_sendall(pair[0], bytes(5_000_000)))
    await turns(3)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await turns(1)
    assert loop.remove_writer(pair[0]) is False


# accept and connect


async def test_connect_and_accept(loop: Loop, listener: socket.socket) -> None:
    accepting = loop.create_task(loop.sock_accept(listener))
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        accepted, address = await accepting
        with accepted:
            assert address == client.getsockname()
            assert accepted.gettimeout() == 0
            await loop.sock_sendall(client, b"hello")
            assert await loop.sock_recv(accepted, 100) == b"hello"


async def test_accept_returns_waiting_connections_in_order(
    loop: Loop, listener: socket.socket
) -> None:
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    for client in clients:
        accepted, address = await loop.sock_accept(listener)
        accepted.close()
        assert address == client.getsockname()
        client.close()


async def test_connect_resolves_names(loop: Loop, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("localhost", port))
        accepted, _ = await loop.sock_accept(listener)
        accepted.close()


async def test_connect_to_a_closed_port_is_refused(loop: Loop) -> None:
    with socket.socket() as client:
        client.setblocking(False)
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(client, ("127.0.0.1", free_port()))
        assert loop.remove_writer(client) is False


async def test_connect_to_a_unix_socket(loop: Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        server.bind(path)
        server.listen()
        server.setblocking(False)
        client.setblocking(False)
        await loop.sock_connect(client, path)
        accepted, _ = await loop.sock_accept(server)
        accepted.close()


async def test_cancelling_an_accept_stops_watching(loop: Loop, listener: socket.socket) -> None:
    accepting = loop.create_task(loop.sock_accept(listener))
    await turns(2)
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    await turns(1)
    assert loop.remove_reader(listener) is False


async def test_a_connect_cancelled_under_way_stops_watching(loop: Loop) -> None:
    # A full backlog keeps the connection from being made.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            fillers.append(filler)
        with socket.socket() as client:
            client.setblocking(False)
            connecting = loop.create_task(loop.sock_connect(client, server.getsockname()))
            await turns(3)
            assert not connecting.done()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await turns(1)
            assert loop.remove_writer(client) is False
        for filler in fillers:
            filler.close()


# Datagrams


async def test_sendto_and_recvfrom(loop: Loop, datagram_pair: Pair) -> None:
    one, two = datagram_pair
    assert await loop.sock_sendto(one, b"hello", two.getsockname()) == 5
    assert await loop.sock_recvfrom(two, 100) == (b"hello", one.getsockname())
    waiting = loop.create_task(loop.sock_recvfrom(one, 100))
    await turns(2)
    await loop.sock_sendto(two, b"back", one.getsockname())
    assert await waiting == (b"back", two.getsockname())


async def test_recvfrom_into(loop: Loop, datagram_pair: Pair) -> None:
    one, two = datagram_pair
    buffer = bytearray(10)
    await loop.sock_sendto(one, b"hello", two.getsockname())
    assert await loop.sock_recvfrom_into(two, buffer) == (5, one.getsockname())
    assert bytes(buffer[:5]) == b"hello"
    await loop.sock_sendto(one, b"12345", two.getsockname())
    assert await loop.sock_recvfrom_into(two, buffer, 2) == (2, one.getsockname())
    assert bytes(buffer[:5]) == b"12llo"


async def test_recvfrom_into_rejects_more_than_the_buffer_holds(
    loop: Loop, datagram_pair: Pair
) -> None:
    one, two = datagram_pair
    await loop.sock_sendto(one, b"hello", two.getsockname())
    with pytest.raises(ValueError, match="nbytes is greater than the length of the buffer"):
        await loop.sock_recvfrom_into(two, bytearray(4), 10)


# sendfile


async def test_sendfile_sends_a_file(loop: Loop, tmp_path: Path) -> None:
    data = random_bytes(1_000_000)
    path = tmp_path / "data"
    path.write_bytes(data)
    with tcp_socket_pair() as (client, accepted), path.open("rb") as file:
        sending = loop.create_task(loop.sock_sendfile(client, file))
        received = await receive_exactly(loop, accepted, len(data))
        assert await sending == len(data)
        assert received == data
        assert file.tell() == len(data)


async def test_sendfile_sends_a_part(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with tcp_socket_pair() as (client, accepted), path.open("rb") as file:
        assert await loop.sock_sendfile(client, file, 3, 4) == 4
        assert await receive_exactly(loop, accepted, 4) == b"3456"
        assert file.tell() == 7


async def test_sendfile_falls_back_for_files_in_memory(loop: Loop) -> None:
    with tcp_socket_pair() as (client, accepted):
        assert await loop.sock_sendfile(client, io.BytesIO(b"in memory")) == 9
        client.close()
        assert await receive_all(loop, accepted) == b"in memory"


async def test_sendfile_without_fallback_needs_a_real_file(loop: Loop) -> None:
    with tcp_socket_pair() as (client, _), pytest.raises(asyncio.SendfileNotAvailableError):
        await loop.sock_sendfile(client, io.BytesIO(b"in memory"), fallback=False)


async def test_sendfile_checks_its_arguments(loop: Loop, pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("text")
    with path.open("r") as text, pytest.raises(ValueError, match="should be opened in binary"):
        await loop.sock_sendfile(pair[0], text)  # type: ignore[arg-type]
    with path.open("rb") as file:
        with pytest.raises(ValueError, match="offset must be a non-negative integer"):
            await loop.sock_sendfile(pair[0], file, -1)
        with pytest.raises(ValueError, match="count must be a positive integer"):
            await loop.sock_sendfile(pair[0], file, 0, 0)
        with pytest.raises(TypeError, match="count must be a positive integer"):
            await loop.sock_sendfile(pair[0], file, 0, "1")  # type: ignore[arg-type]


# What is refused

Operation = Callable[[Loop, socket.socket], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 1),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(1)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 1),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(1)),
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"x"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_blocking_socket_is_refused_in_debug_mode(loop: Loop, name: str) -> None:
    loop.set_debug(True)
    with socket.socket() as blocking:
        with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
            await OPERATIONS[name](loop, blocking)
        blocking.settimeout(5)
        with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
            await OPERATIONS[name](loop, blocking)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_tls_socket_is_refused(loop: Loop, name: str) -> None:
    context = ssl.create_default_context()
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, do_handshake_on_connect=False, server_hostname="x") as wrapped,
        pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"),
    ):
        await OPERATIONS[name](loop, wrapped)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_closed_socket_is_a_bad_descriptor(loop: Loop, name: str) -> None:
    closed = socket.socket()
    closed.setblocking(False)
    closed.close()
    loop.set_debug(False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await OPERATIONS[name](loop, closed)


async def test_the_socket_of_a_transport_is_refused_when_it_must_wait(loop: Loop) -> None:
    with tcp_socket_pair() as (client, accepted):
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=client)
        with socket.socket(fileno=os.dup(client.fileno())) as copy:
            copy.setblocking(False)
            waiting = loop.create_task(loop.sock_recv(copy, 1))
            await turns(2)
            waiting.cancel()
            await asyncio.wait([waiting])
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(client, 1)
        transport.abort()
        await turns(2)
        assert accepted.fileno() >= 0


async def test_many_operations_at_once_on_many_sockets(loop: Loop) -> None:
    async def ping_pong(number: int) -> int:
        with socket_pair() as (left, right):
            for step in range(20):
                payload = b"%d %d" % (number, step)
                receiving = loop.create_task(loop.sock_recv(right, 100))
                await loop.sock_sendall(left, payload)
                assert await receiving == payload
        return number

    assert await asyncio.gather(*(ping_pong(n) for n in range(50))) == list(range(50))
