"""Child processes: ``create_subprocess_exec`` and ``_shell``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

import pytest
from support.loops import Loop, LoopFactory
from support.net import turns

CAT = ("cat",)


async def test_output_and_exit_code(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("echo", "hello", stdout=PIPE)
    out, err = await process.communicate()
    assert (out, err, process.returncode) == (b"hello\n", None, 0)


async def test_a_shell_command(loop: Loop) -> None:
    process = await asyncio.create_subprocess_shell(
        "echo out; echo err >&2; exit 7", stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert (out, err, process.returncode) == (b"out\n", b"err\n", 7)


async def test_communicate_feeds_large_input_and_collects_large_output(loop: Loop) -> None:
    data = os.urandom(3_000_000)
    process = await asyncio.create_subprocess_exec(*CAT, stdin=PIPE, stdout=PIPE)
    out, _ = await process.communicate(data)
    assert out == data
    assert process.returncode == 0


async def test_talking_line_by_line(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec(*CAT, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(20):
        process.stdin.write(b"line %d\n" % number)
        await process.stdin.drain()
        assert await process.stdout.readline() == b"line %d\n" % number
    process.stdin.close()
    assert await process.wait() == 0
    assert await process.stdout.read() == b""
    await turns(3)


async def test_standard_error_may_join_standard_output(loop: Loop) -> None:
    process = await asyncio.create_subprocess_shell(
        "echo one; echo two >&2; echo three", stdout=PIPE, stderr=STDOUT
    )
    out, _ = await process.communicate()
    assert out == b"one\ntwo\nthree\n"


async def test_streams_may_be_discarded(loop: Loop) -> None:
    process = await asyncio.create_subprocess_shell(
        "echo lost; cat", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    assert process.stdin is None
    assert process.stdout is None
    assert await process.wait() == 0


async def test_killed_by_a_signal(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("terminate", (), -signal.SIGTERM),
        ("kill", (), -signal.SIGKILL),
        ("send_signal", (signal.SIGUSR1,), -signal.SIGUSR1),
    ],
)
async def test_signals(loop: Loop, method: str, arguments: tuple[int, ...], expected: int) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    getattr(process, method)(*arguments)
    assert await process.wait() == expected
    with pytest.raises(ProcessLookupError):
        getattr(process, method)(*arguments)


async def test_several_may_wait(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec(*CAT, stdin=PIPE)
    waiting = [loop.create_task(process.wait()) for _ in range(3)]
    await turns(3)
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.gather(*waiting) == [0, 0, 0]
    assert await process.wait() == 0
    await turns(3)


async def test_a_program_that_is_missing(loop: Loop) -> None:
    with pytest.raises(FileNotFoundError):
        await asyncio.create_subprocess_exec("/no/such/program")
    await turns(3)


async def test_directory_and_environment(loop: Loop, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_shell(
        'pwd; echo "$RONDEL_SAMPLE"',
        stdout=PIPE,
        cwd=tmp_path,
        env={**os.environ, "RONDEL_SAMPLE": "sampled"},
    )
    out, _ = await process.communicate()
    assert out.decode().split() == [str(tmp_path), "sampled"]


async def test_text_modes_are_refused(loop: Loop) -> None:
    for option in ({"universal_newlines": True}, {"text": True}, {"encoding": "utf-8"}):
        with pytest.raises(ValueError, match=r"must be (False|None)|doesn't exist"):
            await asyncio.create_subprocess_exec(*CAT, **option)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bufsize must be 0"):
        await asyncio.create_subprocess_exec(*CAT, bufsize=1)  # type: ignore[arg-type]


async def test_a_cancelled_wait_leaves_the_process_alone(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec(*CAT, stdin=PIPE)
    waiting = loop.create_task(process.wait())
    await turns(3)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert process.returncode is None
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0
    await turns(3)


async def test_many_processes_at_once(loop: Loop) -> None:
    async def run(number: int) -> tuple[bytes, int | None]:
        process = await asyncio.create_subprocess_shell(
            f"echo {number}; exit {number}", stdout=PIPE
        )
        out, _ = await process.communicate()
        return out, process.returncode

    results = await asyncio.gather(*(run(number) for number in range(20)))
    assert results == [(b"%d\n" % number, number) for number in range(20)]


async def test_a_protocol_of_ones_own(loop: Loop) -> None:
    class Protocol(asyncio.SubprocessProtocol):
        def __init__(self) -> None:
            self.events: list[object] = []
            self.ended = loop.create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.events.append("made")

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            self.events.append((fd, data))

        def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
            self.events.append((fd, exc))

        def process_exited(self) -> None:
            self.events.append("exited")

        def connection_lost(self, exc: Exception | None) -> None:
            self.events.append("lost")
            self.ended.set_result(None)

    transport, protocol = await loop.subprocess_exec(Protocol, "echo", "hello", stdin=DEVNULL)
    assert isinstance(transport.get_pid(), int)
    await protocol.ended
    assert transport.get_returncode() == 0
    assert protocol.events[0] == "made"
    assert (1, b"hello\n") in protocol.events
    assert {(1, None), (2, None), "exited"} <= set(protocol.events)
    assert protocol.events[-1] == "lost"
    transport.close()
    await turns(3)


async def test_closing_the_transport_kills_the_process(loop: Loop) -> None:
    ended = loop.create_future()

    class Protocol(asyncio.SubprocessProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            ended.set_result(None)

    transport, _ = await loop.subprocess_exec(Protocol, "sleep", "1000")
    transport.close()
    await ended
    assert transport.get_returncode() == -signal.SIGKILL
    await turns(3)


def test_processes_in_one_loop_after_another(loop_factory: LoopFactory) -> None:
    async def run() -> int:
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    for _ in range(3):
        loop = loop_factory()
        assert loop.run_until_complete(run()) == 0
        loop.close()


async def test_a_child_of_this_interpreter(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; print(len(sys.stdin.read()))", stdin=PIPE, stdout=PIPE
    )
    out, _ = await process.communicate(b"x" * 100_000)
    assert out == b"100000\n"
