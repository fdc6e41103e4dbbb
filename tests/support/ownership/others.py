"""Threads and child processes: a job runs to its end or not at all, a child is reaped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from typing import Any

from support.ownership.rounds import Outcome, Round, operation
from support.protocols import Watched


@operation("AbstractEventLoop.run_in_executor", waits_for_others=True)
async def run_in_executor(this: Round) -> None:
    ran: list[bytes] = []
    outcome = await this.attempt(this.loop.run_in_executor(None, ran.append, this.token))
    await this.world.idle_pool()
    this.insist(ran in ([], [this.token]), "crossed", f"{ran} ran")
    this.insist(not outcome.done or ran == [this.token], "lost", "it did not run")


@operation("AbstractEventLoop.getaddrinfo", waits_for_others=True)
async def getaddrinfo(this: Round) -> None:
    port = this.dice.randrange(1, 65536)
    asking = this.loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
    outcome = await this.attempt(asking)
    if not outcome.cancelled:
        (info,) = outcome.value
        this.insist(info[4] == ("127.0.0.1", port), "crossed", f"{info}")
    await this.world.idle_pool()


@operation("AbstractEventLoop.getnameinfo", waits_for_others=True)
async def getnameinfo(this: Round) -> None:
    port = this.dice.randrange(1, 65536)
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    outcome = await this.attempt(this.loop.getnameinfo(("127.0.0.1", port), flags))
    if not outcome.cancelled:
        this.insist(outcome.value == ("127.0.0.1", str(port)), "crossed", f"{outcome.value}")
    await this.world.idle_pool()


class Child(Watched, asyncio.SubprocessProtocol):
    """Records what a child process says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.record("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.received += data
        self.record("data", fd, data)

    def pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        self.record("pipe lost", fd, exc)

    def process_exited(self) -> None:
        self.record("exited")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.record("lost", exc)


async def _use_child(this: Round, outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        transport, child = outcome.value
        stdin = transport.get_pipe_transport(0)
        stdin.write(this.token)
        received = await child.got(len(this.token))
        this.insist(received == this.token, "crossed", f"received {received!r}")
        stdin.close()
        await child.lost()
        this.insist(transport.get_returncode() == 0, "broken", f"{transport!r}")
        transport.close()


@operation("AbstractEventLoop.subprocess_exec", waits_for_others=True)
async def subprocess_exec(this: Round) -> None:
    await _use_child(this, await this.attempt(this.loop.subprocess_exec(Child, "cat")))


@operation("AbstractEventLoop.subprocess_shell", waits_for_others=True)
async def subprocess_shell(this: Round) -> None:
    await _use_child(this, await this.attempt(this.loop.subprocess_shell(Child, "exec cat")))


PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


async def _use_process(this: Round, outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        heard, _ = await outcome.value.communicate(this.token)
        this.insist(heard == this.token, "crossed", f"received {heard!r}")


@operation("create_subprocess_exec", waits_for_others=True)
async def create_subprocess_exec(this: Round) -> None:
    await _use_process(this, await this.attempt(asyncio.create_subprocess_exec("cat", **PIPES)))


@operation("create_subprocess_shell", waits_for_others=True)
async def create_subprocess_shell(this: Round) -> None:
    starting = asyncio.create_subprocess_shell("exec cat", **PIPES)
    await _use_process(this, await this.attempt(starting))


@operation("Process.wait", waits_for_others=True)
async def wait_for_a_process(this: Round) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE)
    this.meanwhile(lambda: os.kill(process.pid, signal.SIGTERM))
    outcome = await this.attempt(process.wait())
    this.act_now()
    code = outcome.value if outcome.done else await process.wait()
    this.insist(code == -signal.SIGTERM, "lost", f"it ended with {code}")


@operation("Process.communicate", waits_for_others=True)
async def communicate_with_a_process(this: Round) -> None:
    process = await asyncio.create_subprocess_exec("cat", **PIPES)
    data = this.token * 10_000
    outcome = await this.attempt(process.communicate(data))
    if outcome.error is not None:
        raise outcome.error
    if outcome.done:
        this.insist(outcome.value == (data, None), "lost", "of what it said")
    else:
        with suppress(ProcessLookupError):
            process.kill()
        # What was read before the cancellation is gone with it.
        heard, _ = await process.communicate()
        this.insist(heard in data, "crossed", f"received {heard[-100:]!r}")
