"""The judge of executors: nothing that a module of tests starts outlives its time."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from executor_conformance.session import Ended, Sessions
from support.leaks import eventually


def run(sessions: Sessions, folder: Path, *command: str, limit: float = 60.0) -> Ended:
    return sessions.run([*command], folder=folder, variables={**os.environ}, limit=limit)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; it is for init to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(("end", "limit"), [("exit 3", 60.0), ("wait", 0.5)])
def test_children_end_with_their_module(tmp_path: Path, end: str, limit: float) -> None:
    with Sessions() as sessions:
        ended = run(sessions, tmp_path, "sh", "-c", f"sleep 1000 & echo $!; {end}", limit=limit)
    assert (ended.is_late, ended.code) == ((False, 3) if limit > 1 else (True, -signal.SIGABRT))
    assert eventually(lambda: is_gone(int(ended.output)))


def test_a_module_that_is_late_says_where_it_is(tmp_path: Path) -> None:
    program = "def never_comes_back(): signal.pause()\n\nimport signal; never_comes_back()"
    command = (sys.executable, "-X", "faulthandler", "-c", program)
    with Sessions() as sessions:
        ended = run(sessions, tmp_path, *command, limit=1.0)
    assert ended.is_late
    assert "in never_comes_back" in ended.errors


def test_all_modules_end_with_the_judge(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with Sessions() as sessions, ThreadPoolExecutor(1) as jobs:
        running = jobs.submit(run, sessions, tmp_path, "sh", "-c", "touch begun; sleep 1000")
        queued = jobs.submit(run, sessions, tmp_path, "sleep", "1000")
        assert eventually(begun.exists)
        sessions.end()
        assert {running.result().code, queued.result().code} == {-signal.SIGKILL}
