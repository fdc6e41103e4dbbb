"""How the end of a child process is seen: its return code, who reaps it, and what it may cost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from support.child import clean_output, run_child
from support.leaks import kernel_threads
from support.loops import Loop, LoopFactory
from support.net import turns

pidfds = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="this Python was built without pidfds"
)


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """Every child is reaped when its test is over."""
    yield
    gc.collect()
    subprocess._cleanup()  # type: ignore[attr-defined]
    left = []
    with contextlib.suppress(ChildProcessError):
        while True:
            left.append(os.waitpid(-1, 0 if left else os.WNOHANG))
    assert not left


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


DENY = """
    import ctypes, errno, struct

    def deny(*numbers):
        "From here on these system calls fail with ENOSYS, as on an old kernel or in a sandbox."
        def instruction(code, if_so, if_not, value):
            return struct.pack("HBBI", code, if_so, if_not, value)

        load, equal, result = 0x20, 0x15, 0x06
        program = instruction(load, 0, 0, 0)
        for number in numbers:
            program += instruction(equal, 0, 1, number)
            program += instruction(result, 0, 0, 0x00050000 | errno.ENOSYS)
        program += instruction(result, 0, 0, 0x7FFF0000)
        steps = ctypes.create_string_buffer(program)
        filter = struct.pack("HP", len(program) // 8, ctypes.addressof(steps))
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        no_new_privileges, set_seccomp, by_filter = 38, 22, 2
        if prctl(no_new_privileges, 1, 0, 0, 0) or prctl(
            set_seccomp, by_filter, ctypes.create_string_buffer(filter), 0, 0
        ):
            print("no seccomp:", os.strerror(ctypes.get_errno()))
            sys.exit()

    PIDFD_SEND_SIGNAL, PIDFD_OPEN = 424, 434

    async def main():
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"as ever")
        print(out.decode(), process.returncode)
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        process.kill()
        print(await process.wait())
"""


@pidfds
@pytest.mark.parametrize("denied", ["PIDFD_OPEN", "PIDFD_SEND_SIGNAL"])
def test_children_work_where_pidfds_are_denied(loop_kind: str, denied: str) -> None:
    out = clean_output(
        loop_kind,
        f"""
        {DENY}
    deny({denied})
    loop = make_loop()
    loop.run_until_complete(main())
    loop.close()
    """,
    )
    if out.startswith("no seccomp"):
        pytest.skip(out.strip())
    assert out == "as ever 0\n-9\n"


@pytest.mark.rondel_only
@pidfds
async def test_no_process_is_left_if_it_cannot_be_watched(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pidfd_open

    def fail(pid: int, *flags: int) -> int:
        if pid == os.getpid():
            return real(pid, *flags)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        await asyncio.create_subprocess_exec("sleep", "1000", stdin=PIPE, stdout=PIPE)
    await turns(3)


async def test_cancelling_the_start_in_any_turn_leaves_nothing(loop: Loop) -> None:
    for after in range(8):
        starting = loop.create_task(
            asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        await turns(after)
        starting.cancel()
        try:
            process = await starting
        except asyncio.CancelledError:
            continue
        await process.communicate()
    await turns(5)


@pytest.mark.rondel_only
async def test_cancelling_every_task_in_any_turn_of_the_start_leaves_nothing(loop: Loop) -> None:
    """As `asyncio.run` does at its end; some versions of asyncio then wait for ever."""
    for after in range(8):
        starting = loop.create_task(
            asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        await turns(after)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        try:
            process = await starting
        except asyncio.CancelledError:
            continue
        await process.communicate()
    await turns(5)


@pytest.mark.rondel_only
async def test_a_cancelled_start_does_not_wait_for_grandchildren(loop: Loop) -> None:
    """They hold the pipes of their parent, and may live long."""
    read_end, write_end = os.pipe()
    for after in range(2, 8):
        starting = loop.create_task(
            asyncio.create_subprocess_shell(
                f"cat </dev/fd/{read_end} & wait", stdin=PIPE, stdout=PIPE, pass_fds=[read_end]
            )
        )
        await turns(after)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            process = await starting
            process._transport.close()  # type: ignore[attr-defined]
            await process.wait()
    os.close(read_end)
    os.close(write_end)
    await turns(5)


@pytest.mark.rondel_only
def test_a_loop_may_be_closed_while_a_child_runs(loop_kind: str) -> None:
    done = run_child(
        loop_kind,
        """
        import gc, subprocess

        async def main():
            process = await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1, stdout=-1)
            return process.pid

        before = os.listdir("/proc/self/fd")
        loop = make_loop()
        pid = loop.run_until_complete(main())
        loop.close()
        gc.collect()
        while subprocess._active:
            subprocess._cleanup()
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            print("reaped")
        print(os.listdir("/proc/self/fd") == before)
        """,
        options=(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "reaped\nTrue\n", "")
