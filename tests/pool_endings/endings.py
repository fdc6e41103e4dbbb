"""The endings that there are, and what came of each when it was tried."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from support.child import environment

from pool_endings.program import NOTHING, PATIENCE

POOLS = ("threads", "processes")
DRIVERS = ("thread", "loop")
"""Who uses the pool: a plain thread, or a loop, which then drives that of processes."""
STATES = ("unused", "idle", "starting", "full")
ENDINGS = ("shutdown", "collected", "exit", "fork and shutdown", "fork and exit")
"""Of the last two it is the child's pool that ends."""

WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
"""From Python 3.12 on, that of a fork with threads."""


class Ended(NamedTuple):
    """How long a pool took to end, and what it left."""

    pool: str
    driver: str
    state: str
    ending: str
    seconds: float
    left: str

    def is_well(self, within: float) -> bool:
        """Whether it ended in so many seconds, and left nothing."""
        return self.left == NOTHING and self.seconds <= within

    def __str__(self) -> str:
        """Return the line of a table."""
        return (
            f"{self.pool:10} {self.driver:7} {self.state:9} {self.ending:18}"
            f" {self.seconds:6.3f} s  {self.left}"
        )


def try_out(pool: str, driver: str, ending: str, states: Sequence[str]) -> Iterator[Ended]:
    """End pools in these states; raises what `subprocess.run` raises, and for what is said."""
    if ending == "exit":
        for state in states:
            (line,), ended, left = _run(pool, driver, ending, state)
            yield Ended(pool, driver, state, ending, ended - float(line), left)
        return
    lines, _, left = _run(pool, driver, ending, *states)
    for state, line in zip(states, lines, strict=True):
        seconds, _, stayed = line.partition(" ")
        stayed = stayed if left == NOTHING else left
        yield Ended(pool, driver, state, ending, float(seconds), stayed)


def _run(*arguments: str) -> tuple[list[str], float, str]:
    """Run the program; what it printed, when nothing of it was left, and what still was.

    Shared memory of pools has no name, and so is gone with the last process.
    """
    ran = subprocess.Popen(
        [sys.executable, *WARNINGS, "-m", "pool_endings.program", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # A process that stayed would hold the pipes: it is not their end that is waited for.
        while ran.poll() is None:
            time.sleep(0.001)
        ended = time.monotonic()
        while (session := _session(ran.pid)) and time.monotonic() - ended < PATIENCE:
            time.sleep(0.001)
        ended = time.monotonic()
        left = f"processes {session}" if session else NOTHING
    finally:
        for process in [ran.pid] if ran.poll() is None else _session(ran.pid):
            os.kill(process, signal.SIGKILL)
        printed, said = ran.communicate()
    if said or ran.returncode:
        raise AssertionError(f"{arguments}: ended with {ran.returncode} and said {said}")
    return printed.splitlines(), ended, left


def _session(leader: int) -> list[int]:
    """Return the processes of a session, zombies excluded: it is for init to bury those."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found
