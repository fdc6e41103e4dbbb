"""Outside: run a command for a limited time, and end all that it has started with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

LAST_WORDS = 5.0
"""Seconds that a process which is late has to write down where it is."""


class Ended(NamedTuple):
    """How a command ended, and what it and its children have written."""

    code: int
    is_late: bool
    output: str
    errors: str


class Sessions:
    """Commands that run in sessions of their own, which a Ctrl-C for this process does not reach.

    To be entered around the threads that call `run`, for it closes what they wait for.
    """

    def __init__(self) -> None:
        self._over = os.eventfd(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._over)

    def end(self) -> None:
        """Kill all sessions, those to come included. Called by any thread."""
        os.eventfd_write(self._over, 1)

    def run(
        self, command: list[str], *, folder: Path, variables: dict[str, str], limit: float
    ) -> Ended:
        """Run a command for `limit` seconds at most, or until `end`.

        Processes of the session do not outlive it, nor does anybody wait for them: they hold the
        files that are written to. A command that is late is sent SIGABRT, upon which Python's
        fault handler writes the tracebacks of all threads. Raises what `subprocess.Popen` raises.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            try:
                is_late = self._wait_for(child, limit)
            finally:
                # Its number stays taken, and with it that of its group, until it is waited for.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            written = []
            for file in (output, errors):
                file.seek(0)
                written.append(file.read().decode(errors="replace"))
        return Ended(child.returncode, is_late, *written)

    def _wait_for(self, child: subprocess.Popen[bytes], limit: float) -> bool:
        """Wait for its end, and say whether it is late."""
        ended = os.pidfd_open(child.pid)
        try:
            is_late = not select.select([ended, self._over], [], [], limit)[0]
            if is_late:
                child.send_signal(signal.SIGABRT)
                select.select([ended, self._over], [], [], LAST_WORDS)
            return is_late
        finally:
            os.close(ended)
