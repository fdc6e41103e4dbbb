"""How the end of a child process is seen: its return code, who reaps it, and what it may cost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.child import clean_output, run_child
from support.leaks import kernel_threads
from support.loops import Loop, LoopFactory
from support.net import turns

pytestmark = pytest.mark.usefixtures("no_child_left")

pidfds = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="this Python was built without pidfds"
)


@contextlib.asynccontextmanager
async def started(loop: Loop, ending: str) -> AsyncIterator[tuple[Any, Callable[[], None]]]:
    """A process's transport, and what makes it end as told and waits till it is a zombie."""
    read_end, write_end = os.pipe()
    transport, _ = await loop.subprocess_exec(
        asyncio.SubprocessProtocol,
        *("sh", "-c", f"read line; {ending}"),
        stdin=read_end,
        stdout=None,
        stderr=None,
    )
    os.close(read_end)

    def end() -> None:
        os.close(write_end)
        with contextlib.suppress(ChildProcessError):  # a thread of the standard library's has it
            os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)

    yield transport, end
    transport.close()


@pytest.mark.parametrize("code", [0, 1, 127, 128, 254, 255])
async def test_any_exit_code(loop: Loop, code: int) -> None:
    process = await asyncio.create_subprocess_shell(f"exit {code}")
    assert await process.wait() == process.returncode == code


@pytest.mark.parametrize("name", ["SIGTERM", "SIGABRT", "SIGSEGV", "SIGRTMAX"])
async def test_any_deadly_signal(loop: Loop, name: str) -> None:
    number = getattr(signal, name)
    process = await asyncio.create_subprocess_shell(f"ulimit -c 0; kill -{int(number)} $$")
    assert await process.wait() == -number


async def test_a_stopped_child_has_not_ended(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    await turns(5)
    assert process.returncode is None
    process.send_signal(signal.SIGCONT)
    process.stdin.write(b"on")
    process.stdin.close()
    assert await process.stdout.read() == b"on"
    assert await process.wait() == 0


async def test_a_child_that_has_ended_when_the_loop_looks(loop: Loop) -> None:
    async with started(loop, "exit 3") as (transport, end):
        end()
        assert transport.get_returncode() is None
        assert await transport._wait() == transport.get_returncode() == 3


async def test_the_popen_object_knows_the_return_code(loop: Loop) -> None:
    async with started(loop, "exit 4") as (transport, end):
        process = transport.get_extra_info("subprocess")
        assert isinstance(process, subprocess.Popen)
        assert process.pid == transport.get_pid()
        end()
        assert await transport._wait() == 4
        assert (process.poll(), process.wait(), process.wait(timeout=1)) == (4, 4, 4)
        process.kill()


@pytest.mark.rondel_only
async def test_the_popen_object_may_be_asked_before_the_loop(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    for ask in (subprocess.Popen.wait, subprocess.Popen.poll, lambda process: process.poll()):
        async with started(loop, "exit 5") as (transport, end):
            end()
            assert ask(transport.get_extra_info("subprocess")) == 5
            assert transport.get_returncode() is None
            assert await transport._wait() == 5
    assert "child process" not in caplog.text


@pytest.mark.rondel_only
async def test_a_thread_may_wait_for_the_popen_object(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        async with started(loop, "exit 6") as (transport, end):
            process = transport.get_extra_info("subprocess")
            blocking = loop.run_in_executor(None, process.wait)
            await turns(1)
            transport.kill()
            assert await transport._wait() == -signal.SIGKILL
            assert await blocking == -signal.SIGKILL
            end()
    assert "child process" not in caplog.text


@pytest.mark.rondel_only
async def test_closing_a_transport_whose_process_has_just_ended_keeps_the_return_code(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(loop, "exit 7") as (transport, end):
        end()
        transport.close()
        assert await transport._wait() == 7
    assert "child process" not in caplog.text


@pytest.mark.rondel_only
async def test_signals_for_a_process_that_has_just_ended(loop: Loop) -> None:
    async with started(loop, "exit 8") as (transport, end):
        end()
        transport.terminate()
        transport.kill()
        transport.send_signal(0)
        assert await transport._wait() == 8
        with pytest.raises(ProcessLookupError):
            transport.kill()


@pytest.mark.parametrize("wrong", ["SIGTERM", None, 999, -1])
async def test_signals_that_make_no_sense(loop: Loop, wrong: Any) -> None:
    async with started(loop, "exit 9") as (transport, end):
        with pytest.raises(OSError if isinstance(wrong, int) else TypeError):
            transport.send_signal(wrong)
        end()
        assert await transport._wait() == 9


@pytest.mark.rondel_only
async def test_a_child_that_somebody_else_reaped(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(loop, "exit 10") as (transport, end):
        end()
        pid = transport.get_pid()
        os.waitpid(pid, 0)
        with caplog.at_level(logging.WARNING, "asyncio"):
            assert await transport._wait() == 255
        assert f"child process pid {pid}" in caplog.text
        assert "will report returncode 255" in caplog.text


@pytest.mark.rondel_only
def test_children_that_the_kernel_reaps_by_itself(loop_kind: str) -> None:
    """What a program gets that ignores SIGCHLD, as some servers do."""
    done = run_child(
        loop_kind,
        """
        import logging, signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s")

        async def main():
            for command in ("true", "sleep 0.05"):
                process = await asyncio.create_subprocess_shell(command)
                print(await process.wait())

        loop = make_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
        options=(),
    )
    assert (done.returncode, done.stdout) == (0, "255\n255\n")
    warnings = done.stderr.splitlines()
    assert len(warnings) == 2
    expected = (
        "exit status already read" if sys.version_info >= (3, 12) else "Unknown child process"
    )
    assert all("asyncio WARNING" in line and expected in line for line in warnings)


@pytest.mark.rondel_only
async def test_watching_a_child_takes_no_thread(loop: Loop) -> None:
    before = kernel_threads()
    processes = [await asyncio.create_subprocess_exec("cat", stdin=PIPE) for _ in range(5)]
    assert kernel_threads() <= before
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [await process.wait() for process in processes] == [0] * 5
    await turns(3)


@pytest.mark.rondel_only
async def test_watching_a_child_leaves_signal_handlers_alone(loop: Loop) -> None:
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    process = await asyncio.create_subprocess_exec("true")
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    assert await process.wait() == 0


def test_a_loop_in_another_thread(loop_factory: LoopFactory) -> None:
    results: list[Any] = []

    async def talk() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        results.append(await process.communicate(b"from a thread"))
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        process.terminate()
        results.append(await process.wait())

    def run() -> None:
        loop = loop_factory()
        loop.run_until_complete(talk())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert results == [(b"from a thread", None), -signal.SIGTERM]


def test_loops_in_many_threads_at_once(loop_factory: LoopFactory) -> None:
    results: list[int] = []

    async def work(number: int) -> None:
        for _ in range(10):
            process = await asyncio.create_subprocess_shell(f"exit {number}")
            results.append(await process.wait() - number)

    def run(number: int) -> None:
        loop = loop_factory()
        loop.run_until_complete(work(number))
        loop.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 40


@pytest.mark.rondel_only
@pidfds
def test_a_process_with_a_recycled_number_is_not_hit(loop_kind: str) -> None:
    """In a pid namespace of its own, where the next process's number can be chosen."""
    namespace = ("unshare", "--fork", "--pid", "--mount-proc")
    able = subprocess.run([*namespace, "true"], capture_output=True, text=True, check=False)
    if able.returncode != 0:
        pytest.skip(f"no pid namespace to be had: {able.stderr.strip()}")
    out = clean_output(
        loop_kind,
        """
        import subprocess, textwrap
        from support.child import PRELUDE
        inside = '''
        import logging, signal, subprocess
        logging.disable()

        def spawn_as(pid):
            "A process with that very number."
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(pid - 1))
            process = subprocess.Popen(["sleep", "1000"])
            assert process.pid == pid, (process.pid, pid)
            return process

        async def main(act):
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                asyncio.SubprocessProtocol, "sleep", "1000", stdin=None, stdout=None, stderr=None
            )
            os.kill(transport.get_pid(), signal.SIGKILL)
            os.waitpid(transport.get_pid(), 0)
            stranger = spawn_as(transport.get_pid())
            act(transport)
            returncode = await transport._wait()
            await asyncio.sleep(0.05)
            alive = stranger.poll() is None
            stranger.kill()
            stranger.wait()
            transport.close()
            print(returncode, alive)

        loop = make_loop()
        for act in (
            lambda transport: transport.kill(),
            lambda transport: transport.terminate(),
            lambda transport: transport.send_signal(signal.SIGINT),
            lambda transport: transport.get_extra_info("subprocess").kill(),
            lambda transport: transport.close(),
        ):
            loop.run_until_complete(main(act))
        loop.close()
        '''
        program = PRELUDE.format(kind=KIND) + textwrap.dedent(inside)
        subprocess.run(
            ["unshare", "--fork", "--pid", "--mount-proc", sys.executable, "-c", program],
            check=True,
        )
        """,
    )
    assert out.splitlines() == ["255 True"] * 5
