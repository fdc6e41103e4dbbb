"""Runs what is measured in processes of its own, and brings back numbers or a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from rondel.compare.subprocesses import python, running

from benches.contestants import Contestant

TIME_LIMIT = 60.0
"""Seconds after which one measurement is given up."""


class Failed(Exception):
    """A measurement gave no number; ``str()`` is the reason."""


def ask(contestant: Contestant, wanted: Mapping[str, object]) -> dict[str, Any]:
    """Return what :mod:`benches.child` answers on a contestant's loop. Raises :exc:`Failed`."""
    specification = json.dumps({"loop": contestant.factory, **wanted})
    return finish(python("benches.child", specification, interpreter=contestant.interpreter))


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
        raise Failed(last_line(errors) or f"exit code {process.returncode}")
    return answer(output)


def answer(output: str) -> dict[str, Any]:
    """Return the JSON object in the last line of a process's output. Raises :exc:`Failed`."""
    try:
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed("it ended without an answer") from None
    return found


def last_line(errors: str) -> str:
    """Return the last line of what a process complained, which names its exception."""
    return next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
