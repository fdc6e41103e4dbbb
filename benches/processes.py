"""Runs what is measured in processes of its own, and brings back numbers or a reason."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from rondel.compare.subprocesses import python, running

from benches.contestants import Contestant

TIME_LIMIT = 60.0
"""Seconds after which one measurement is given up."""

PROGRAMS = "RONDEL_BENCH_PROGRAMS"
"""The environment variable that names the folder of the programs in Rust.

Without it, that is where ``cargo build --release`` puts them.
"""


class Failed(Exception):
    """A measurement gave no number; ``str()`` is the reason."""


class Server(NamedTuple):
    """A program that is ready: what it printed, and its number."""

    said: dict[str, Any]
    process: int


def program(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a program in Rust. Raises :exc:`Failed` if it is not built."""
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    path = Path(os.environ.get(PROGRAMS) or f"{target}/release") / name
    if not path.exists():
        raise Failed(f"{path} is not there: make bench builds it")
    return [str(path), *arguments]


def child(contestant: Contestant, wanted: Mapping[str, object]) -> list[str]:
    """Return the command that does what is wanted on a contestant's loop."""
    specification = json.dumps({"loop": contestant.factory, **wanted})
    return python("benches.child", specification, interpreter=contestant.interpreter)


def finish(command: list[str]) -> dict[str, Any]:
    """Run a command to its end; return the JSON object that it prints. Raises :exc:`Failed`."""
    try:
        with running(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            output, errors = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {TIME_LIMIT:.0f} s") from None
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    if process.returncode != 0:
        raise Failed(_last_line(errors) or f"exit code {process.returncode}")
    return _answer(output)


@contextlib.contextmanager
def serving(command: list[str]) -> Iterator[Server]:
    """Run a server for the length of the block. Raises :exc:`Failed` if it does not get ready.

    What fails in the block is given the server's last complaint, which may be its cause.
    """
    with (
        tempfile.TemporaryFile("w+") as errors,
        _started(command, errors) as process,
    ):
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(TIME_LIMIT) else ""
        try:
            if not line:
                raise Failed("the server did not get ready")
            yield Server(_answer(line), process.pid)
        except Failed as failure:
            errors.seek(0)
            complaint = _last_line(errors.read())
            raise Failed(f"{failure}; {complaint}" if complaint else str(failure)) from None


@contextlib.contextmanager
def _started(command: list[str], errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        with running(command, stdin=subprocess.PIPE, stderr=errors) as process:
            yield process
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None


def _answer(output: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed("it ended without an answer") from None
    return found


def _last_line(errors: str) -> str:
    """Return the last line of what a process complained, which names its exception."""
    return next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
