"""What a child process is started with: every option of `subprocess.Popen`, and real pipes."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import os
import pwd
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest
from support.loops import Loop
from support.net import turns

SHOW = "import os, sys; sys.stdout.write(str({}))"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


async def told(*program: str | Path, **options: Any) -> str:
    """Run a program to its end; what it wrote."""
    process = await asyncio.create_subprocess_exec(*program, stdout=PIPE, **options)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def shown(expression: str, **options: Any) -> str:
    """What a child process finds an expression to be."""
    return await told(sys.executable, "-c", SHOW.format(expression), **options)


async def test_dev_stdin_can_be_opened_by_its_name(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("cat", "/dev/stdin", stdin=PIPE, stdout=PIPE)
    out, _ = await process.communicate(b"read by name")
    assert out == b"read by name"


async def test_dev_stdout_and_stderr_can_be_opened_by_their_names(loop: Loop) -> None:
    process = await asyncio.create_subprocess_shell(
        "echo one >/dev/stdout; echo two >/dev/stderr", stdout=PIPE, stderr=PIPE
    )
    assert await process.communicate() == (b"one\n", b"two\n")


async def test_all_three_streams_are_pipes(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import os, stat; print(*(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in range(3)))",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    assert (out, err) == (b"True True True\n", b"")


async def test_streams_of_ones_own(loop: Loop) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"from a file")
        source.seek(0)
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=source, stdout=target, stderr=STDOUT
        )
        assert await process.wait() == 0
        target.seek(0)
        assert target.read() == b"from a file"


async def test_streams_are_inherited_unless_told_otherwise(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("true")
    assert (process.stdin, process.stdout, process.stderr) == (None, None, None)
    assert await process.wait() == 0


async def test_the_size_of_pipes(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, pipesize=4096)
    assert process.stdin is not None
    pipe = process.stdin.transport.get_extra_info("pipe")
    assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == 4096
    await process.communicate(b"")


async def test_another_program_under_this_name(loop: Loop) -> None:
    assert await told("some-name", "-c", 'echo "$0"', executable="/bin/sh") == "some-name\n"


async def test_a_program_of_any_path_like_type(loop: Loop) -> None:
    assert await told(Path("/bin/echo"), Path("a"), "b") == "a b\n"
    process = await asyncio.create_subprocess_exec(b"/bin/echo", "c", stdout=PIPE)
    assert await process.communicate() == (b"c\n", None)


async def test_a_shell_command_in_bytes(loop: Loop) -> None:
    process = await asyncio.create_subprocess_shell(b"echo $((40 + 2))", stdout=PIPE)
    assert await process.communicate() == (b"42\n", None)


async def test_directory_and_environment(loop: Loop, tmp_path: Path) -> None:
    assert await told("pwd", cwd=tmp_path) == f"{tmp_path}\n"
    assert await told("/usr/bin/env", env={"ONLY": "this"}) == "ONLY=this\n"


async def test_a_session_and_a_process_group(loop: Loop) -> None:
    assert await shown("os.getsid(0) == os.getpid()", start_new_session=True) == "True"
    assert await shown("os.getsid(0) == os.getpid()") == "False"
    assert await shown("os.getpgid(0) == os.getpid()", process_group=0) == "True"


async def test_the_file_mode_mask(loop: Loop) -> None:
    assert await shown("oct(os.umask(0))", umask=0o027) == "0o27"


async def test_a_function_to_run_before_the_program(loop: Loop) -> None:
    assert await shown("os.getcwd()", preexec_fn=lambda: os.chdir("/")) == "/"


async def test_a_function_that_fails_before_the_program(loop: Loop) -> None:
    def fail() -> None:
        raise RuntimeError

    with pytest.raises(Exception, match="Exception occurred in preexec_fn"):
        await asyncio.create_subprocess_exec("true", preexec_fn=fail)
    await turns(3)


async def test_descriptors_are_passed_only_if_named(loop: Loop) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    is_open = f"os.path.exists('/proc/self/fd/{read_end}')"
    assert await shown(is_open) == "False"
    assert await shown(is_open, close_fds=False) == "True"
    os.set_inheritable(read_end, False)
    assert await shown(is_open, pass_fds=[read_end]) == "True"
    os.close(read_end)
    os.close(write_end)


async def test_signals_that_python_ignores_are_restored(loop: Loop) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    mask = ("awk", "/^SigIgn/ { print $2 }", "/proc/self/status")
    bit = 1 << (signal.SIGPIPE - 1)
    assert not int(await told(*mask), 16) & bit
    assert int(await told(*mask, restore_signals=False), 16) & bit


@as_root
async def test_another_user_and_groups(loop: Loop) -> None:
    nobody = pwd.getpwnam("nobody")
    program = ("/usr/bin/env", "id")
    assert f"uid={nobody.pw_uid}(" in await told(*program, user="nobody")
    assert f"gid={nobody.pw_gid}(" in await told(*program, group=nobody.pw_gid)
    daemon = grp.getgrnam("daemon").gr_gid
    assert await told("/usr/bin/id", "-G", extra_groups=[daemon]) == f"0 {daemon}\n"


@as_root
async def test_a_child_that_runs_as_somebody_else_can_be_killed_by_root(loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "1000", user="nobody")
    process.kill()
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cwd": "/no/such/directory"}, FileNotFoundError),
        ({"executable": "/"}, PermissionError),
        ({"env": {"A": 1}}, TypeError),
        ({"pass_fds": [-1]}, ValueError),
        ({"user": "no-such-user"}, KeyError),
        ({"stdin": object()}, AttributeError),
        ({"no_such_option": 1}, TypeError),
        ({"stdout": -5}, OSError),
    ],
)
async def test_options_that_make_no_sense(
    loop: Loop, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await asyncio.create_subprocess_exec("true", **options)
    await turns(3)
