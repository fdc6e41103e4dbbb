"""The loop's ``sock_*`` methods: what a cancelled one has not given is still there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from support.loops import Loop
from support.net import socket_pair, turns
from support.ownership.exchange import exchange_by_socket
from support.ownership.rounds import Round, operation


def _received(sock: socket.socket) -> bytes:
    """What waits in a socket."""
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def _datagram_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    pair = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
    for sock in pair:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    return pair[0], pair[1]


Receive = Callable[[Loop, socket.socket, int], Coroutine[Any, Any, bytes]]


async def _receive_from_stream(this: Round, receive: Receive) -> None:
    with socket_pair() as (left, right):
        this.meanwhile(lambda: right.send(this.token))
        size = this.dice.choice([1, 5, 100])
        outcome = await this.attempt(receive(this.loop, left, size))
        this.act_now()
        received = (outcome.value if outcome.done else b"") + _received(left)
        this.insist(received == this.token, "lost", f"{received!r} is left of {this.token!r}")
        this.close(left, right)


async def _receive_datagram(this: Round, receive: Receive) -> None:
    with ExitStack() as stack:
        left, right = _datagram_pair(stack)
        this.meanwhile(lambda: right.sendto(this.token, left.getsockname()))
        outcome = await this.attempt(receive(this.loop, left, 100))
        this.act_now()
        received = outcome.value if outcome.done else _received(left)
        this.insist(received == this.token, "lost", f"{received!r} is left of {this.token!r}")
        this.insist(_received(left) == b"", "crossed", "a datagram came twice")
        this.close(left, right)


@operation("AbstractEventLoop.sock_recv")
async def sock_recv(this: Round) -> None:
    async def receive(loop: Loop, sock: socket.socket, size: int) -> bytes:
        return await loop.sock_recv(sock, size)

    await _receive_from_stream(this, receive)


@operation("AbstractEventLoop.sock_recv_into")
async def sock_recv_into(this: Round) -> None:
    async def receive(loop: Loop, sock: socket.socket, size: int) -> bytes:
        buffer = bytearray(size)
        count = await loop.sock_recv_into(sock, buffer)
        return bytes(buffer[:count])

    await _receive_from_stream(this, receive)


@operation("AbstractEventLoop.sock_recvfrom")
async def sock_recvfrom(this: Round) -> None:
    async def receive(loop: Loop, sock: socket.socket, size: int) -> bytes:
        data, _ = await loop.sock_recvfrom(sock, size)
        return data

    await _receive_datagram(this, receive)


@operation("AbstractEventLoop.sock_recvfrom_into")
async def sock_recvfrom_into(this: Round) -> None:
    async def receive(loop: Loop, sock: socket.socket, size: int) -> bytes:
        buffer = bytearray(size)
        count, _ = await loop.sock_recvfrom_into(sock, buffer)
        return bytes(buffer[:count])

    await _receive_datagram(this, receive)


class Reading:
    """Reads a socket a little at each turn, until its end."""

    def __init__(self, loop: Loop, sock: socket.socket, size: int = 100_000) -> None:
        self.received = bytearray()
        self.ended = False
        self._loop, self._sock, self._size = loop, sock, size
        loop.add_reader(sock, self._read)

    def _read(self) -> None:
        try:
            data = self._sock.recv(self._size)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.received += data
        if not data:
            self.ended = True
            self._loop.remove_reader(self._sock)

    async def until_end(self) -> bytes:
        """All there was."""
        while not self.ended:
            await turns()
        return bytes(self.received)


@operation("AbstractEventLoop.sock_sendall")
async def sock_sendall(this: Round) -> None:
    with socket_pair() as (left, right):
        size = this.dice.choice([1, 1000, 30_000])
        data = this.token * size
        reading = Reading(this.loop, right, size=max(1000, len(data) // 8))
        outcome = await this.attempt(this.loop.sock_sendall(left, data))
        this.close(left)
        received = await reading.until_end()
        this.insist(data.startswith(received), "crossed", f"received {received[-100:]!r}")
        this.insist(not outcome.done or received == data, "lost", f"{len(received)} came")
        this.close(right)


@operation("AbstractEventLoop.sock_sendto")
async def sock_sendto(this: Round) -> None:
    with ExitStack() as stack:
        left, right = _datagram_pair(stack)
        outcome = await this.attempt(this.loop.sock_sendto(left, this.token, right.getsockname()))
        received = _received(right)
        this.insist(received in (b"", this.token), "crossed", f"received {received!r}")
        this.insist(not outcome.done or received == this.token, "lost", "nothing came")
        this.close(left, right)


async def _connect(this: Round, sock: socket.socket, address: Any) -> None:
    sock.setblocking(False)
    outcome = await this.attempt(this.loop.sock_connect(sock, address))
    if outcome.done:
        await exchange_by_socket(this.loop, sock, this.token)
    elif outcome.error is not None:
        raise outcome.error
    this.close(sock)


@operation("AbstractEventLoop.sock_connect")
async def sock_connect_tcp(this: Round) -> None:
    await _connect(this, socket.socket(), this.world.tcp)


@operation("AbstractEventLoop.sock_connect")
async def sock_connect_unix(this: Round) -> None:
    await _connect(this, socket.socket(socket.AF_UNIX), this.world.unix)


@operation("AbstractEventLoop.sock_connect")
async def sock_connect_without_answer(this: Round) -> None:
    # The other side never acts: what ends it is that its socket is shut down.
    sock = socket.socket()
    sock.setblocking(False)

    def give_up() -> None:
        with contextlib.suppress(OSError):  # it has not begun
            sock.shutdown(socket.SHUT_RDWR)

    this.meanwhile(give_up)
    await this.attempt(this.loop.sock_connect(sock, this.world.deaf))
    this.act_now()
    this.close(sock)


@operation("AbstractEventLoop.sock_accept")
async def sock_accept(this: Round) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        server.setblocking(False)
        client.setblocking(False)
        this.meanwhile(lambda: client.connect_ex(server.getsockname()))
        outcome = await this.attempt(this.loop.sock_accept(server))
        this.act_now()
        if outcome.done:
            accepted, address = outcome.value
        else:
            try:
                accepted, address = server.accept()
            except BlockingIOError:
                this.violate("lost", "the connection was accepted, and given to nobody")
        with accepted:
            this.insist(address == client.getsockname(), "crossed", f"{address} connected")
            accepted.setblocking(False)
            await this.loop.sock_sendall(client, this.token)
            received = await this.loop.sock_recv(accepted, 100)
            this.insist(received == this.token, "crossed", f"received {received!r}")
            this.close(client, accepted)


async def _send_file(this: Round, file: Any, *, offset: int, fallback: bool) -> None:
    content = (this.world.folder / "file").read_bytes()[offset:]
    with socket_pair() as (left, right):
        reading = Reading(this.loop, right)
        sending = this.loop.sock_sendfile(left, file, offset, fallback=fallback)
        outcome = await this.attempt(sending)
        if outcome.error is not None:
            raise outcome.error
        this.close(left)
        received = await reading.until_end()
        this.insist(content.startswith(received), "crossed", f"received {received[-100:]!r}")
        if outcome.done:
            this.insist(received == content, "lost", f"{len(received)} came")
            this.insist(outcome.value == len(content), "lost", f"{outcome.value} counted")
        this.close(right)


@operation("AbstractEventLoop.sock_sendfile")
async def sock_sendfile(this: Round) -> None:
    with (this.world.folder / "file").open("rb") as file:
        await _send_file(this, file, offset=this.dice.choice([0, 8, 390_000]), fallback=False)


class NotInTheKernel:
    """A file without a descriptor, which is read and sent piece by piece."""

    def __init__(self, file: Any) -> None:
        self.mode = "rb"
        self.readinto, self.seek, self.tell = file.readinto, file.seek, file.tell


@operation("AbstractEventLoop.sock_sendfile", waits_for_others=True)
async def sock_sendfile_without_the_kernel(this: Round) -> None:
    # The piece that a thread reads when the cancellation comes is read to its end, so the file
    # must stay open for it; what the pool does next comes after it.
    with (this.world.folder / "file").open("rb", buffering=0) as file:
        await _send_file(this, NotInTheKernel(file), offset=0, fallback=True)
        await this.world.idle_pool()
