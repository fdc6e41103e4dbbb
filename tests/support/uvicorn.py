"""uvicorn in a process of its own, on one of the loops."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.child import environment
from support.required import library

LOOPS = {"stdlib": "asyncio", "rondel": "rondel:new_event_loop"}
"""What uvicorn's option --loop takes for each kind of loop."""
STRICT = ("-W", "error")
"""The interpreter's options; development mode would make loops use asyncio's handles."""
RUNNING = re.compile(r"Uvicorn running on (?:https?://\S+:(\d+)|unix socket (\S+))")


class Server:
    """A running server, which tells what it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._output: list[str] = []
        self._printed = process.stdout
        self.process = process
        self.log = ""
        self._lines = iter(process.stderr)
        found = RUNNING.search(self.wait_for("Uvicorn running on "))
        assert found is not None, self.log
        self.port = int(found[1] or 0)

    def wait_for(self, text: str) -> str:
        """Wait until a line that contains ``text`` is logged; the line."""
        for line in self._lines:
            self.log += line
            if text in line:
                return line
        self.process.wait()
        raise AssertionError(f"never said {text!r}:\n{self.log}")

    def wait_for_output(self, text: str, *, times: int = 1) -> bool:
        """Read the application's output until it printed ``text`` so often; whether it did."""
        while self._output.count(text) < times:
            line = self._printed.readline()
            if not line:
                return False
            self._output.append(line.rstrip())
        return True

    def output(self) -> list[str]:
        """The lines that the application printed until the server ended."""
        self._output += [line.rstrip() for line in self._printed]
        return self._output

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait for a clean end."""
        self.process.send_signal(number)
        self.has_ended_by(number)

    def has_ended_by(self, number: signal.Signals) -> None:
        """Wait for the end that a signal brings about: nothing unwanted was logged."""
        assert self.process.stderr is not None
        self.log += "".join(self._lines)
        self.process.wait(timeout=60)
        assert "Traceback" not in self.log, self.log
        assert "Warning" not in self.log, self.log
        assert "Finished server process" in self.log
        assert self.process.returncode in (0, -number), self.log


@contextmanager
def uvicorn(
    kind: str, application: Path, *arguments: str, options: tuple[str, ...] = STRICT
) -> Iterator[Server]:
    """Serve ``application`` of a Python file, on a port that the kernel chooses.

    ``arguments`` are uvicorn's, ``options`` the interpreter's. The server's standard output is a
    pipe.
    """
    library("uvicorn")
    process = subprocess.Popen(
        [
            *(sys.executable, *options, "-m", "uvicorn", f"{application.stem}:application"),
            *("--app-dir", str(application.parent), "--loop", LOOPS[kind]),
            *("--host", "127.0.0.1", "--port", "0", "--no-access-log", *arguments),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Server(process)
        finally:
            process.kill()
