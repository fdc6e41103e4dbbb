"""anyio runs on the loop: task groups, cancel scopes, threads, processes, sockets, TLS, signals."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import LoopFactory
from support.required import library

anyio = library("anyio")
for name in ("abc", "from_thread", "streams.tls", "streams.stapled", "to_process", "to_thread"):
    library(f"anyio.{name}")

BODY = random.Random(5).randbytes(3_000_000)
GUARD = 30.0

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture
def run(loop_factory: LoopFactory) -> Run:
    """Run an async function by ``anyio.run`` on a loop of the factory's, bounded in time."""

    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        async def guarded() -> Any:
            with anyio.fail_after(GUARD):
                return await main()

        return anyio.run(guarded, backend_options={"loop_factory": loop_factory})

    return run


def test_a_task_group_waits_for_its_tasks_and_cancels_them_when_one_fails(run: Run) -> None:
    ended: list[str] = []

    async def count(number: int, *, task_status: Any) -> None:
        task_status.started(number * 2)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            async with anyio.create_task_group() as group:
                for number in range(10):
                    assert await group.start(count, number) == number * 2
                raise ZeroDivisionError
        assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError]

    run(main)
    assert ended == ["cancelled"] * 10


def test_cancel_scopes_end_what_is_in_them_and_no_more(run: Run) -> None:
    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await anyio.sleep_forever()
        with anyio.CancelScope() as outer:
            with anyio.CancelScope() as inner:
                outer.cancel()
                await anyio.sleep_forever()
            pytest.fail("the outer scope is cancelled")
        assert outer.cancelled_caught
        assert not inner.cancelled_caught
        await anyio.sleep(0)

    run(main)


def test_functions_run_in_threads_and_call_back_into_the_loop(run: Run) -> None:
    async def double(number: int) -> int:
        await anyio.sleep(0)
        return number * 2

    def work(number: int) -> tuple[int, int]:
        assert threading.current_thread() is not threading.main_thread()
        anyio.from_thread.check_cancelled()
        return (
            anyio.from_thread.run(double, number),
            anyio.from_thread.run_sync(lambda: number * 3),
        )

    async def main() -> None:
        results: dict[int, tuple[int, int]] = {}

        async def task(number: int) -> None:
            results[number] = await anyio.to_thread.run_sync(work, number)

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(task, number)
        assert results == {number: (number * 2, number * 3) for number in range(100)}
        event = threading.Event()
        with anyio.move_on_after(0.01) as scope:
            await anyio.to_thread.run_sync(event.wait, abandon_on_cancel=True)
        assert scope.cancelled_caught
        event.set()

    run(main)


def test_a_portal_lets_plain_code_call_a_loop_in_a_thread(loop_factory: LoopFactory) -> None:
    async def double(number: int) -> int:
        await anyio.sleep(0)
        return number * 2

    options = {"loop_factory": loop_factory}
    with anyio.from_thread.start_blocking_portal(backend_options=options) as portal:
        assert [portal.call(double, number) for number in range(50)] == list(range(0, 100, 2))
        futures = [portal.start_task_soon(double, number) for number in range(50)]
        assert [future.result(GUARD) for future in futures] == list(range(0, 100, 2))
        forever = portal.start_task_soon(anyio.sleep_forever)
        forever.cancel()


def test_a_process_is_spoken_to_and_waited_for(run: Run) -> None:
    program = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)"

    async def main() -> None:
        async with await anyio.open_process([sys.executable, "-c", program]) as process:

            async def feed() -> None:
                for _ in range(100):
                    await process.stdin.send(b"words " * 1_000)
                await process.stdin.aclose()

            received = bytearray()
            async with anyio.create_task_group() as group:
                group.start_soon(feed)
                async for piece in process.stdout:
                    received += piece
            assert received == b"WORDS " * 100_000
            assert await process.wait() == 3
        done = await anyio.run_process(
            [sys.executable, "-c", "import sys; print(sys.stdin.read())"], input=b"text"
        )
        assert (done.returncode, done.stdout) == (0, b"text\n")

    run(main)


def test_a_process_dies_with_the_scope_that_waits_for_it(run: Run) -> None:
    async def main() -> None:
        with anyio.move_on_after(0.2) as scope:
            async with await anyio.open_process(
                [sys.executable, "-c", "import time; time.sleep(600)"]
            ) as process:
                await process.wait()
        assert scope.cancelled_caught
        assert process.returncode == -signal.SIGKILL

    run(main)


def test_worker_processes_run_functions(run: Run) -> None:
    async def main() -> None:
        assert await anyio.to_process.run_sync(pow, 2, 10) == 1024
        pid = await anyio.to_process.run_sync(os.getpid)
        assert pid != os.getpid()

    run(main)


async def echo(stream: Any) -> None:
    """Send back what comes, until its end."""
    async with stream:
        async for piece in stream:
            await stream.send(piece)


async def exchange(stream: Any) -> None:
    """Send BODY by a stream whose other end echoes, and receive it whole."""
    received = bytearray()
    async with stream, anyio.create_task_group() as group:
        group.start_soon(stream.send, BODY)
        while len(received) < len(BODY):
            received += await stream.receive()
    assert received == BODY


@pytest.mark.parametrize("kind", ["TCP", "TLS", "unix"])
def test_streams_carry_mebibytes_both_ways(
    run: Run, kind: str, certificates: Certificates, tmp_path: Path
) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        if kind == "unix":
            listener = await anyio.create_unix_listener(path)
        else:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = None if kind == "unix" else listener.extra(anyio.abc.SocketAttribute.local_port)
        if kind == "TLS":
            listener = anyio.streams.tls.TLSListener(listener, certificates.server_context())

        async def ask() -> None:
            if kind == "unix":
                stream = await anyio.connect_unix(path)
            elif kind == "TCP":
                stream = await anyio.connect_tcp("127.0.0.1", port)
            else:
                context = certificates.client_context()
                stream = await anyio.connect_tcp("localhost", port, ssl_context=context)
            await exchange(stream)

        async with listener, anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, echo)
            async with anyio.create_task_group() as clients:
                for _ in range(4):
                    clients.start_soon(ask)
            serving.cancel_scope.cancel()

    run(main)


def test_datagrams_go_and_come(run: Run) -> None:
    async def main() -> None:
        async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
            port = server.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
                for number in range(100):
                    await client.send(b"%d" % number)
                    data, sender = await server.receive()
                    await server.sendto(data * 2, *sender)
                    assert await client.receive() == b"%d" % number * 2

    run(main)


def test_a_receive_that_is_cancelled_loses_no_data(run: Run) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        with right:
            async with await anyio.abc.UNIXSocketStream.from_socket(left) as stream:
                received = bytearray()
                for number in range(200):
                    with anyio.CancelScope() as scope:
                        if number % 2:
                            scope.cancel()
                        right.send(b"%d," % number)
                        received += await stream.receive()
                expected = b"".join(b"%d," % number for number in range(200))
                while len(received) < len(expected):
                    received += await stream.receive()
                assert received == expected

    run(main)


def test_sockets_are_waited_for(run: Run) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        with left, right:
            await anyio.wait_writable(left)
            with anyio.move_on_after(0.01) as scope:
                await anyio.wait_readable(left)
            assert scope.cancelled_caught
            right.send(b"x")
            await anyio.wait_readable(left)
            assert left.recv(1) == b"x"

    run(main)


def test_signals_are_received(run: Run) -> None:
    async def main() -> None:
        with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert await anext(signals) is signal.SIGUSR1
            os.kill(os.getpid(), signal.SIGUSR2)
            assert await anext(signals) is signal.SIGUSR2

    run(main)


def test_synchronisation_and_memory_streams(run: Run) -> None:
    async def main() -> None:
        send, receive = anyio.create_memory_object_stream(max_buffer_size=3)
        limiter, condition = anyio.CapacityLimiter(2), anyio.Condition()
        got: list[int] = []

        async def produce(numbers: range) -> None:
            async with send.clone() as clone:
                for number in numbers:
                    await clone.send(number)

        async def consume() -> None:
            async with receive.clone() as clone:
                async for number in clone:
                    async with limiter:
                        await anyio.lowlevel.checkpoint()
                        got.append(number)
                    async with condition:
                        condition.notify_all()

        async with anyio.create_task_group() as group, send, receive:
            for start in range(4):
                group.start_soon(produce, range(start, 400, 4))
            for _ in range(4):
                group.start_soon(consume)
            async with condition:
                while len(got) < 400:
                    await condition.wait()
        assert sorted(got) == list(range(400))

    run(main)
