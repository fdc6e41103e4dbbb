"""Many of everything: connections, callbacks, timers, tasks; and nothing is left afterwards.

Each program runs in a child process and does its work three times. The standard loop does a tenth
of the work, enough to prove the test.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from support.child import environment, start_child
from support.growth import MEASURE, QUICK, assert_nothing_grew, run_thrice
from support.loops import STDLIB

CONNECTIONS = 10_000


def test_a_million_callbacks_run_in_order(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    async def work(loop):
        count = 1_000_000 // PART
        expected = 0
        done = loop.create_future()

        def check(number):
            nonlocal expected
            assert number == expected
            expected += 1
            if expected == count:
                done.set_result(None)

        for number in range(count):
            loop.call_soon(check, number)
        await done
    """,
    )


def test_callbacks_pushed_from_another_thread_run_in_order(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    import threading

    async def work(loop):
        count = 300_000 // PART
        expected = 0
        done = loop.create_future()

        def check(number):
            nonlocal expected
            assert number == expected
            expected += 1
            if expected == count:
                done.set_result(None)

        def push():
            for number in range(count):
                loop.call_soon_threadsafe(check, number)

        thread = threading.Thread(target=push)
        thread.start()
        await done
        thread.join()
    """,
    )


def test_two_hundred_thousand_timers_of_which_half_are_cancelled(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    import random

    async def work(loop):
        count = 200_000 // PART
        ranks = list(range(count))
        random.Random(1).shuffle(ranks)
        base = loop.time() + 0.01
        fired = []
        handles = {}
        for rank in ranks:
            handles[rank] = loop.call_at(base + rank * 1e-6, fired.append, rank)
        for rank in range(1, count, 2):
            handles[rank].cancel()
        handles.clear()
        done = loop.create_future()
        loop.call_at(base + count * 1e-6, done.set_result, None)
        await done
        assert fired == list(range(0, count, 2))
    """,
    )


def test_timers_that_are_always_cancelled_do_not_pile_up(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    async def work(loop):
        for _ in range(200 // PART):
            for _ in range(1000):
                loop.call_later(3600, print).cancel()
            await asyncio.sleep(0)
    """,
    )


def test_a_hundred_thousand_tasks_finish_in_order(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    async def work(loop):
        finished = []

        async def step(number):
            await asyncio.sleep(0)
            finished.append(number)
            return number

        count = 100_000 // PART
        tasks = [loop.create_task(step(number)) for number in range(count)]
        results = await asyncio.gather(*tasks)
        assert finished == results == list(range(count))
        tasks.clear()
        results.clear()
        assert len(asyncio.all_tasks()) == 1
    """,
    )


def test_thirty_thousand_futures_wake_their_waiters_in_order(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    async def work(loop):
        woken = []

        async def wait(number, future):
            woken.append(await future)

        count = 30_000 // PART
        futures = [loop.create_future() for _ in range(count)]
        tasks = [loop.create_task(wait(n, future)) for n, future in enumerate(futures)]
        await asyncio.sleep(0)
        for number, future in enumerate(futures):
            future.set_result(number)
        await asyncio.wait(tasks)
        assert woken == list(range(count))
    """,
    )


def test_connections_that_come_and_go_leave_nothing(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def work(loop):
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def ask(number):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"%d\\n" % number)
            assert await reader.read() == b"%d\\n" % number
            writer.close()
            await writer.wait_closed()

        for start in range(0, 2000 // PART, 50):
            await asyncio.gather(*(ask(start + number) for number in range(50)))
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)
    """,
    )


def test_processes_that_come_and_go_in_a_thread_leave_nothing(loop_kind: str) -> None:
    run_thrice(
        loop_kind,
        """
    import threading
    from asyncio.subprocess import PIPE

    async def talk(number):
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        out, _ = await process.communicate(b"%d" % number)
        assert (out, process.returncode) == (b"%d" % number, 0)

    async def many():
        for number in range(1000 // PART):
            process = await asyncio.create_subprocess_exec("true")
            assert await process.wait() == 0
        for start in range(0, 500 // PART, 10):
            await asyncio.gather(*(talk(start + number) for number in range(10)))

    def run_many():
        loop = make_loop()
        loop.run_until_complete(many())
        loop.close()

    async def work(loop):
        thread = threading.Thread(target=run_many)
        thread.start()
        thread.join()
        try:
            raise AssertionError(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            pass
    """,
    )


SERVER = (
    MEASURE
    + """
    import resource

    limit = PART  # how many connections
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 100, resource.getrlimit(7)[1]))
    made = lost = 0
    all_made = all_lost = None

    class Idle(asyncio.Protocol):
        def connection_made(self, transport):
            global made
            self.transport = transport
            made += 1
            if made == limit:
                all_made.set_result(None)

        def data_received(self, data):
            self.transport.write(data)

        def connection_lost(self, exc):
            global lost
            lost += 1
            if lost == limit:
                all_lost.set_result(None)

    async def work(loop):
        global made, lost, all_made, all_lost
        made, lost = 0, 0
        all_made, all_lost = loop.create_future(), loop.create_future()
        server = await loop.create_server(Idle, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1])
        await all_made
        print("all made")
        await all_lost
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    loop = make_loop()
    for _ in range(3):
        loop.run_until_complete(work(loop))
        print(json.dumps(held()))
    loop.close()
"""
)
CLIENT = """
import resource, socket, sys
count, port = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(7)[1]))
sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
print("connected", flush=True)
sys.stdin.readline()
for sock in sockets[::97]:
    sock.sendall(b"alive")
for sock in sockets[::97]:
    assert sock.recv(5) == b"alive"
for sock in sockets:
    sock.close()
"""


def read_line(child: subprocess.Popen[str]) -> str:
    """The child's next line; its errors when there is none."""
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, child.communicate(timeout=30)
    return line


def test_ten_thousand_idle_connections(loop_kind: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < CONNECTIONS + 100:
        pytest.skip(f"this machine allows a process {most} descriptors")
    connections = CONNECTIONS // 10 if loop_kind == STDLIB else CONNECTIONS
    server = start_child(loop_kind, SERVER, str(connections), options=QUICK)
    reports: list[str] = []
    for _ in range(3):
        port = read_line(server)
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(connections), port],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert read_line(client) == "connected"
        assert read_line(server) == "all made"
        client.communicate("close\n", timeout=60)
        assert client.returncode == 0
        reports.append(read_line(server))
    _, err = server.communicate(timeout=60)
    assert (server.returncode, err) == (0, "")
    assert_nothing_grew(reports)
    assert json.loads(reports[0])["descriptors"] < 50
