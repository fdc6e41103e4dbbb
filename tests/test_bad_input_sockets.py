"""Wrong arguments: the ``sock_*`` methods, handles and servers fail as the standard ones do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import side_by_side
from support.protocols import Echo
from support.side_by_side import compare

Call = Callable[[Any], Any]

pytestmark = pytest.mark.usefixtures("only_sockets_left_to_the_collector")

VALUES: dict[str, Any] = {
    "none": None,
    "zero": 0,
    "minus one": -1,
    "number": 100,
    "beyond a signed size": 2**63,
    "beyond any size": 2**64,
    "float": 1.5,
    "true": True,
    "text": "text",
    "bytes": b"bytes",
    "bytearray": bytearray(b"bytearray"),
    "empty bytearray": bytearray(),
    "read-only view": memoryview(b"view"),
    "writable view": memoryview(bytearray(4)),
    "tuple": (),
    "address": ("127.0.0.1", 1),
    "bad address": ("127.0.0.1",),
    "text port": ("127.0.0.1", "port"),
    "negative port": ("127.0.0.1", -1),
    "huge port": ("127.0.0.1", 100_000),
    "list": [],
    "object": object(),
    "class": int,
}


async def with_pair(loop: Any, call: Callable[[Any, socket.socket], Any]) -> Any:
    """Make the call with one end of a pair of sockets; the other has sent a few bytes."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.sendall(b"0123456789")
        return await call(loop, left)


async def with_datagram(loop: Any, call: Callable[[Any, socket.socket], Any]) -> Any:
    """Make the call with a UDP socket that has sent itself a datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        sock.sendto(b"0123456789", sock.getsockname())
        return await call(loop, sock)


async def with_fresh(loop: Any, call: Callable[[Any, socket.socket], Any]) -> Any:
    """Make the call with a TCP socket that is neither bound nor connected."""
    with socket.socket() as sock:
        sock.setblocking(False)
        return await call(loop, sock)


ARGUMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "sock_recv(n)": lambda loop, value: with_pair(
        loop, lambda loop, sock: loop.sock_recv(sock, value)
    ),
    "sock_recv_into(buffer)": lambda loop, value: with_pair(
        loop, lambda loop, sock: loop.sock_recv_into(sock, value)
    ),
    "sock_sendall(data)": lambda loop, value: with_pair(
        loop, lambda loop, sock: loop.sock_sendall(sock, value)
    ),
    "sock_recvfrom(n)": lambda loop, value: with_datagram(
        loop, lambda loop, sock: loop.sock_recvfrom(sock, value)
    ),
    "sock_recvfrom_into(buffer)": lambda loop, value: with_datagram(
        loop, lambda loop, sock: loop.sock_recvfrom_into(sock, value)
    ),
    "sock_recvfrom_into(n)": lambda loop, value: with_datagram(
        loop, lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(4), value)
    ),
    "sock_sendto(data)": lambda loop, value: with_datagram(
        loop, lambda loop, sock: loop.sock_sendto(sock, value, sock.getsockname())
    ),
    "sock_sendto(address)": lambda loop, value: with_datagram(
        loop, lambda loop, sock: loop.sock_sendto(sock, b"x", value)
    ),
    "sock_connect(address)": lambda loop, value: with_fresh(
        loop, lambda loop, sock: loop.sock_connect(sock, value)
    ),
    "sock_recv(socket)": lambda loop, value: loop.sock_recv(value, 1),
    "sock_recv_into(socket)": lambda loop, value: loop.sock_recv_into(value, bytearray(1)),
    "sock_sendall(socket)": lambda loop, value: loop.sock_sendall(value, b"x"),
    "sock_accept(socket)": lambda loop, value: loop.sock_accept(value),
    "sock_connect(socket)": lambda loop, value: loop.sock_connect(value, ("127.0.0.1", 1)),
    "sock_recvfrom(socket)": lambda loop, value: loop.sock_recvfrom(value, 1),
    "sock_recvfrom_into(socket)": lambda loop, value: loop.sock_recvfrom_into(value, bytearray(1)),
    "sock_sendto(socket)": lambda loop, value: loop.sock_sendto(value, b"x", ("127.0.0.1", 1)),
    "sock_sendfile(socket)": lambda loop, value: loop.sock_sendfile(value, None),
    "sock_sendfile(file)": lambda loop, value: with_pair(
        loop, lambda loop, sock: loop.sock_sendfile(sock, value)
    ),
}


@pytest.mark.parametrize("label", VALUES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str, label: str) -> None:
    def call(loop: Any) -> Any:
        return ARGUMENTS[name](loop, VALUES[label])

    compare(side_by_side.on_a_running_loop, call)
    compare(side_by_side.on_a_running_loop_in_debug_mode, call)


STATES: dict[str, Callable[[Any], Any]] = {
    "sock_recv not connected": lambda loop: with_fresh(
        loop, lambda loop, sock: loop.sock_recv(sock, 1)
    ),
    "sock_sendall not connected": lambda loop: with_fresh(
        loop, lambda loop, sock: loop.sock_sendall(sock, b"x")
    ),
    "sock_accept not listening": lambda loop: with_fresh(
        loop, lambda loop, sock: loop.sock_accept(sock)
    ),
    "sock_connect to itself": lambda loop: with_fresh(
        loop, lambda loop, sock: loop.sock_connect(sock, sock.getsockname())
    ),
    "sock_connect connected": lambda loop: with_pair(
        loop, lambda loop, sock: loop.sock_connect(sock, "/no/such/socket")
    ),
    "sock_recv shut down": lambda loop: with_pair(
        loop, lambda loop, sock: sock.shutdown(socket.SHUT_RDWR) or loop.sock_recv(sock, 100)
    ),
    "sock_sendall shut down": lambda loop: with_pair(
        loop, lambda loop, sock: sock.shutdown(socket.SHUT_RDWR) or loop.sock_sendall(sock, b"x")
    ),
    "sock_recv closed": lambda loop: with_pair(
        loop, lambda loop, sock: sock.close() or loop.sock_recv(sock, 100)
    ),
    "sock_accept closed": lambda loop: with_fresh(
        loop, lambda loop, sock: sock.close() or loop.sock_accept(sock)
    ),
    "add_reader closed": lambda loop: with_pair(
        loop, lambda loop, sock: sock.close() or loop.add_reader(sock, int)
    ),
    "remove_reader closed": lambda loop: with_pair(
        loop, lambda loop, sock: sock.close() or loop.remove_reader(sock)
    ),
    "sock_recv blocking": lambda loop: with_pair(
        loop, lambda loop, sock: sock.setblocking(True) or loop.sock_recv(sock, 100)
    ),
    "sock_recv with timeout": lambda loop: with_pair(
        loop, lambda loop, sock: sock.settimeout(1) or loop.sock_recv(sock, 100)
    ),
}


@pytest.mark.parametrize("stage", ["running", "debug"])
@pytest.mark.parametrize("name", STATES)
def test_sockets_in_the_wrong_state(name: str, stage: str) -> None:
    on_stage = {
        "running": side_by_side.on_a_running_loop,
        "debug": side_by_side.on_a_running_loop_in_debug_mode,
    }
    compare(on_stage[stage], STATES[name])


HANDLES: dict[str, Callable[[Any, Any], Any]] = {
    "cancel(1)": lambda soon, timer: soon.cancel(1),
    "cancelled(1)": lambda soon, timer: soon.cancelled(1),
    "timer.cancel(1)": lambda soon, timer: timer.cancel(1),
    "when(1)": lambda soon, timer: timer.when(1),
    "soon.when": lambda soon, timer: soon.when(),
    "timer < 5": lambda soon, timer: timer < 5,
    "timer <= None": lambda soon, timer: timer <= None,
    "timer > text": lambda soon, timer: timer > "text",
    "timer >= soon": lambda soon, timer: timer >= soon,
    "timer == 5": lambda soon, timer: timer == 5,
    "timer != soon": lambda soon, timer: timer != soon,
    "timer == timer": lambda soon, timer: timer == timer,
    "soon < soon": lambda soon, timer: soon < soon,
    "soon == timer": lambda soon, timer: soon == timer,
    "hash": lambda soon, timer: hash(timer) == hash(timer.when()),
    "no such attribute": lambda soon, timer: timer.no_such_attribute,
    "calling": lambda soon, timer: soon(),
    "cancel twice": lambda soon, timer: (timer.cancel(), timer.cancel(), timer.cancelled()),
}


@pytest.mark.parametrize("name", HANDLES)
def test_handles(name: str) -> None:
    def call(loop: Any) -> Any:
        return HANDLES[name](loop.call_soon(int), loop.call_later(1000, int))

    # Python's own messages tell the class's name, which is the module's affair.
    compare(side_by_side.on_a_running_loop, call, messages=False)


async def with_server(loop: Any, call: Callable[[Any], Any], *, closed: bool) -> Any:
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    if closed:
        server.close()
    try:
        return await side_by_side.settled(call(server))
    finally:
        server.close()
        await server.wait_closed()


SERVERS: dict[str, Call] = {
    "close": lambda server: server.close(),
    "close(1)": lambda server: server.close(1),
    "is_serving": lambda server: server.is_serving(),
    "get_loop": lambda server: server.get_loop() and None,
    "sockets": lambda server: len(server.sockets),
    "start_serving": lambda server: server.start_serving(),
    "serve_forever when closed": lambda server: server.close() or server.serve_forever(),
    "no such attribute": lambda server: server.no_such_attribute,
    "repr": lambda server: repr(server)[:16],
    "setting sockets": lambda server: setattr(server, "sockets", ()),
}


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("name", SERVERS)
def test_servers(name: str, closed: bool) -> None:
    compare(
        side_by_side.on_a_running_loop,
        lambda loop: with_server(loop, SERVERS[name], closed=closed),
        messages="(1)" not in name,
    )


@pytest.mark.parametrize("value", [None, 5, "text", object(), Path("/no/such/folder/socket")])
def test_unix_paths(value: Any) -> None:
    if value == "text":
        value = "/no/such/folder/socket"
    for method in ("create_unix_server", "create_unix_connection"):
        compare(
            side_by_side.on_a_running_loop,
            lambda loop, method=method: getattr(loop, method)(asyncio.Protocol, value),
        )
