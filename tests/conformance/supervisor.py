"""Outside: start a worker, watch it, and end it when one test takes too long.

A test that hangs or takes the interpreter down is recorded as such, and the tests behind it go on
in another process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance import environment
from conformance.substitution import Kind
from conformance.worker import Record, Result

LISTING = 60.0
"""Seconds that importing one module may take."""
TRACEBACK = 5.0
"""Seconds that a process which hangs has to write down where."""
SHOWN = 4000
"""Characters of a process's last output that are kept."""


@dataclass(frozen=True)
class Outcome:
    """How a test ended on one kind of loop."""

    result: Result
    detail: str = ""
    loops: dict[str, int] = field(default_factory=dict)


class Supervisor:
    """Runs tests on one kind of loop.

    Test modules are looked for in the folders in ``path`` too; ``variables`` are added to the
    environment.
    """

    def __init__(
        self, kind: Kind, path: tuple[Path, ...] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.path = path
        self.variables = dict(variables or {})

    def find(self, modules: list[str]) -> tuple[dict[str, list[str]], dict[str, Outcome]]:
        """Return the tests of each module, and what came of modules that cannot be imported.

        Raises RuntimeError if the interpreter does not survive it.
        """
        tests: dict[str, list[str]] = {module: [] for module in modules}
        instead: dict[str, Outcome] = {}
        with self._process("list", modules, LISTING) as process:
            for record in process.records():
                if record["event"] == "found":
                    tests[record["module"]].append(record["test"])
                else:
                    instead[record["test"]] = _outcome(record)
            if process.ending:
                raise RuntimeError(f"listing the tests {process.ending}:\n{process.output()}")
        return tests, instead

    def run(self, module: str, tests: list[str], limit: float) -> dict[str, Outcome]:
        """Run these tests of a module, each for ``limit`` seconds at most; say how each ended."""
        outcomes: dict[str, Outcome] = {}
        while remaining := [test for test in tests if test not in outcomes]:
            running: str | None = None
            progress = len(outcomes)
            with self._process("run", [module, remaining], limit) as process:
                for record in process.records():
                    if record["event"] == "begun":
                        running = record["test"]
                    else:
                        outcomes[record["test"]] = _outcome(record)
                        running = None
                if process.ending:
                    end: Result = "hung" if process.hung else "crashed"
                    failed = Outcome(end, f"the process {process.ending}\n{process.output()}")
                    left = [test for test in remaining if test not in outcomes]
                    # With no test running, it is the tests' import or what comes after them.
                    outcomes[running or (left[0] if left else f"end of {module}")] = failed
                elif running is not None:
                    outcomes[running] = Outcome("crashed", "the test ended its process")
            if len(outcomes) == progress:
                for test in remaining:
                    outcomes[test] = Outcome("not run", "there was no such test when it was run")
        return outcomes

    @contextmanager
    def _process(self, command: str, request: Any, limit: float) -> Iterator[Process]:
        with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as name:
            process = Process(
                environment.make(Path(name) / "python", self.kind, self.path),
                command,
                request,
                limit,
                self.variables,
            )
            try:
                yield process
            finally:
                process.end()


class Process:
    """A worker, from its start until nothing of it is left."""

    def __init__(
        self,
        where: environment.Environment,
        command: str,
        request: Any,
        limit: float,
        variables: dict[str, str],
    ) -> None:
        self.ending = ""
        """How the process ended, if it did not as it should."""
        self.hung = False
        self._where = where
        self._limit = limit
        requested = where.folder / "request"
        requested.write_text(json.dumps(request))
        self._reader, writer = os.pipe()
        with where.output.open("wb") as output:
            self._child = subprocess.Popen(
                [
                    where.python,
                    *("-m", "conformance.worker", command),
                    *(str(writer), where.census, requested),
                ],
                cwd=where.work,
                env=_variables(where) | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[writer],
                start_new_session=True,
            )
        os.close(writer)

    def records(self) -> Iterator[Record]:
        """What the process tells, until it has ended or has been silent for too long."""
        ended = os.pidfd_open(self._child.pid)
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.register(ended, select.POLLIN)
        rest = b""
        try:
            silent_since = time.monotonic()
            while True:
                left = silent_since + self._limit - time.monotonic()
                ready = dict(poll.poll(max(left, 0) * 1000))
                if not ready:
                    self._stop_hanging()
                    return
                if self._reader in ready:
                    received = os.read(self._reader, 1 << 16)
                    if not received:
                        poll.unregister(self._reader)
                        continue
                    silent_since = time.monotonic()
                    *lines, rest = (rest + received).split(b"\n")
                    yield from map(json.loads, lines)
                elif ended in ready:
                    break
        finally:
            os.close(ended)
        code = self._reap()
        if code:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.ending = f"ended with {how}"

    def output(self) -> str:
        """Return the last of what the process and its children have printed."""
        return self._where.output.read_text(errors="replace")[-SHOWN:].strip()

    def end(self) -> None:
        """Let nothing be left."""
        self._reap(signal.SIGKILL)
        os.close(self._reader)

    def _stop_hanging(self) -> None:
        self.hung = True
        self.ending = f"was silent for {self._limit:g} seconds"
        # The process's fault handler writes the tracebacks of all its threads.
        self._child.send_signal(signal.SIGABRT)
        with _pidfd(self._child.pid) as ended:
            select.select([ended], [], [], TRACEBACK)
        self._reap(signal.SIGKILL)

    def _reap(self, first: signal.Signals | None = None) -> int:
        """End what the process has started, and wait for it; return its exit code."""
        if self._child.returncode is None:
            if first is None:
                # Its number stays taken, and with it that of its group, until it is waited for.
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
            os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _variables(where: environment.Environment) -> dict[str, str]:
    """Return the environment variables of a worker: none of those that change how Python runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"TMPDIR": str(where.work), "VIRTUAL_ENV": str(where.folder)}


def _outcome(record: Record) -> Outcome:
    return Outcome(record["result"], record["detail"], record["loops"])
