"""Processes of the comparison's own, none of which outlives it, whenever it is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def running(
    command: list[str], *, stdin: int, stderr: int | IO[str] | None
) -> Iterator[subprocess.Popen[str]]:
    """Run ``command`` in a process group of its own for the length of the block.

    The block reads its standard output. What is left of the group at the end is killed.
    Raises OSError if the process cannot be started.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with _postponed_interrupt():
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment(),
                process_group=0,
            )
        yield process
    finally:
        if process is not None:
            with _postponed_interrupt():
                _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    # A process that ended well has seen to its own children, and its number may be another's.
    if process.poll() != 0:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Closes the pipes and takes the exit code.
    process.__exit__(None, None, None)


@contextlib.contextmanager
def _postponed_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block instead of in it, where it would lose a process."""
    interrupted = False

    def remember(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        # Nothing is raised here: in other threads never, and not where somebody saw to it.
        yield
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if interrupted:
            raise KeyboardInterrupt


def python(module: str, *arguments: str, interpreter: str = sys.executable) -> list[str]:
    """Return the command that runs ``main()`` of a module, with the flags of this interpreter."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [interpreter, *flags, "-c", f"from {module} import main; main()", *arguments]


def environment() -> dict[str, str]:
    """Return the environment without what would slow some contestants down more than others."""
    slow = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC")
    return {name: value for name, value in os.environ.items() if name not in slow}
