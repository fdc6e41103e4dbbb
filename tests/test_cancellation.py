"""Cancellation at every await: nothing is leaked, lost, or given to someone else."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable

import pytest
from support.certificates import Certificates
from support.leaks import open_descriptors
from support.loops import STDLIB, Loop
from support.net import end, listening, receive_exactly, served, socket_pair, turns
from support.protocols import Echo, Recorder


async def cancelled_after(loop: Loop, count: int, work: Awaitable[object]) -> bool:
    """Start the work, cancel it after so many turns; whether that came in time."""
    task = asyncio.ensure_future(work, loop=loop)
    await turns(count)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def test_no_connection_gets_anothers_answer(loop: Loop) -> None:
    """Connections are opened, used, cancelled and closed at random; descriptors are reused."""
    dice = random.Random(7)
    async with served(loop, Echo, backlog=256) as (_, address, _):

        async def ask(name: int) -> None:
            reader, writer = await asyncio.open_connection(*address)
            try:
                for step in range(3):
                    line = b"%d %d\n" % (name, step)
                    writer.write(line)
                    assert await reader.readline() == line
            finally:
                writer.close()

        async def disturb(name: int) -> None:
            await cancelled_after(loop, dice.randrange(12), ask(name))

        for round_ in range(15):
            names = range(round_ * 20, round_ * 20 + 20)
            work = [ask(name) if dice.random() < 0.5 else disturb(name) for name in names]
            await asyncio.gather(*work)
        await turns(10)


async def test_a_cancelled_accept_leaves_the_connection_to_the_next(loop: Loop) -> None:
    # One that was taken before the cancellation is lost with it, as with the standard loop.
    with listening() as server:
        server.setblocking(False)
        for count in range(12):
            accepting = loop.create_task(loop.sock_accept(server))
            await turns(count % 4)
            with socket.create_connection(server.getsockname()) as client:
                accepting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await accepting
                accepted, address = await loop.sock_accept(server)
                accepted.close()
                assert address == client.getsockname()


async def test_a_cancelled_connect_leaves_the_descriptor_to_the_next(loop: Loop) -> None:
    with listening(backlog=128) as server:
        server.setblocking(False)
        before = open_descriptors()
        for count in range(30):
            client = socket.socket()
            client.setblocking(False)
            await cancelled_after(loop, count % 4, loop.sock_connect(client, server.getsockname()))
            client.close()
            # The number is taken by the next socket, which must not see the old watcher.
            with socket_pair() as (left, right):
                waiting = loop.create_task(loop.sock_recv(left, 10))
                await turns(2)
                assert not waiting.done()
                right.send(b"mine")
                assert await waiting == b"mine"
            with contextlib.suppress(BlockingIOError):  # it may not have come to a connection
                server.accept()[0].close()
        assert open_descriptors() == before


async def test_a_cancelled_sendall_sends_a_prefix(loop: Loop) -> None:
    data = bytes(range(256)) * 8000
    for count in range(8):
        with socket_pair() as (left, right):
            sending = loop.create_task(loop.sock_sendall(left, data))
            received = bytearray()
            for _ in range(count):
                await asyncio.sleep(0)
                received += await loop.sock_recv(right, 30_000)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            left.close()
            while piece := await loop.sock_recv(right, 65536):
                received += piece
            assert data.startswith(bytes(received))


Operation = Callable[[Loop, socket.socket], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 10),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(10)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 10),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(10)),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_cancelled_receive_leaves_the_data(loop: Loop, name: str) -> None:
    with socket_pair() as (left, right):
        for count in range(4):
            receiving = asyncio.ensure_future(OPERATIONS[name](loop, left))
            await turns(count)
            right.send(b"data")
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await loop.sock_recv(left, 10) == b"data"


async def test_a_cancelled_start_tls_closes_the_connection(
    loop: Loop, certificates: Certificates
) -> None:
    loop.set_debug(False)  # in debug mode the server reports the clients that hung up
    context = certificates.client_context()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=certificates.server_context())
    address = server.sockets[0].getsockname()
    for count in range(8):
        transport, protocol = await loop.create_connection(Recorder, *address)
        await cancelled_after(
            loop,
            count,
            loop.start_tls(transport, protocol, context, server_hostname="localhost"),
        )
        transport.abort()
        await turns(5)
    server.close()
    await server.wait_closed()
    await turns(10)


async def test_a_cancelled_create_server_closes_its_sockets(loop: Loop) -> None:
    # One that serves at once is left serving, by the standard library, in its last turn.
    for count in range(6):
        before = open_descriptors()
        hosts = ["127.0.0.1", "127.0.0.2"]
        starting = loop.create_task(loop.create_server(Echo, hosts, 0, start_serving=False))
        await turns(count)
        starting.cancel()
        try:
            server = await starting
        except asyncio.CancelledError:
            pass
        else:
            server.close()
            await server.wait_closed()
        await turns(2)
        assert open_descriptors() == before


async def test_a_task_cancelled_while_it_drains_keeps_the_transport_usable(loop: Loop) -> None:
    with listening() as server:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        peer, _ = server.accept()
    peer.setblocking(False)
    with peer:
        data = bytes(range(256)) * 40_000
        writer.write(data)
        assert await cancelled_after(loop, 3, writer.drain())
        writer.write(b"tail")
        draining = loop.create_task(writer.drain())
        assert await receive_exactly(loop, peer, len(data) + 4) == data + b"tail"
        await draining
        writer.close()
        await writer.wait_closed()
        del reader


async def test_closing_within_any_callback(loop: Loop, loop_kind: str) -> None:
    """A protocol closes or aborts in each of its callbacks; the end is told once, and last."""
    moments = ["made", "data", "eof", "pause"]
    if loop_kind != STDLIB:
        moments.append("resume")  # the standard transport closes twice then, and fails
    for moment in moments:
        for method in ("close", "abort"):

            class Closes(Recorder):
                when, how = moment, method

                def record(self, *event: object) -> None:
                    super().record(*event)
                    if event[0] == self.when:
                        getattr(self.transport, self.how)()

            with listening() as server:
                transport, protocol = await loop.create_connection(Closes, *server.getsockname())
                peer, _ = server.accept()
            peer.setblocking(False)
            with peer:
                if moment in ("pause", "resume"):
                    transport.write(bytes(10_000_000))
                    if not transport.is_closing():
                        while not protocol.count("resume"):
                            await loop.sock_recv(peer, 1 << 20)
                if not transport.is_closing():
                    await loop.sock_sendall(peer, b"data")
                    peer.shutdown(socket.SHUT_WR)
                else:
                    peer.close()
                await protocol.lost()
            assert protocol.names()[-1] == "lost"
            assert protocol.count("lost") == 1
            await end(transport, protocol)
