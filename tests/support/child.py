"""Python programs run in a child process, on one of the loops."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
STRICT = ("-X", "dev", "-W", "error")
"""Interpreter options under which a program may say nothing on stderr."""

PRELUDE = """\
import asyncio, os, sys
from support.loops import new_loop
KIND = {kind!r}
def make_loop():
    loop = new_loop(KIND)
    loop.slow_callback_duration = 60.0  # debug mode must not complain of a slow machine
    return loop
def run(main):
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)
"""


def command(kind: str, source: str, *arguments: str, options: tuple[str, ...]) -> list[str]:
    """The command that runs ``source``, which finds a ``make_loop`` of that kind, and a ``run``."""
    program = PRELUDE.format(kind=kind) + textwrap.dedent(source)
    return [sys.executable, *options, "-c", program, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with the tests' helpers on the import path."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def run_child(
    kind: str,
    source: str,
    *arguments: str,
    options: tuple[str, ...] = STRICT,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``source`` to its end; its output is text."""
    return subprocess.run(
        command(kind, source, *arguments, options=options),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_child(
    kind: str, source: str, *arguments: str, options: tuple[str, ...] = STRICT
) -> subprocess.Popen[str]:
    """Start ``source``; its streams are text pipes."""
    return subprocess.Popen(
        command(kind, source, *arguments, options=options),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def clean_output(kind: str, source: str, *arguments: str, timeout: float = 60.0) -> str:
    """Run ``source``, which must exit with 0 and say nothing on stderr; its standard output."""
    done = run_child(kind, source, *arguments, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.returncode}: {done.stderr}"
    return done.stdout
