"""Starting child processes where it is hard: in a sandbox, out of descriptors, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE

import pytest
from support.child import clean_output, run_child
from support.loops import Loop
from support.net import turns

pytestmark = pytest.mark.usefixtures("no_child_left")

pidfds = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="this Python was built without pidfds"
)

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
