"""What a pool's calls may fail with."""

from __future__ import annotations

import signal
import sys
from concurrent.futures.process import BrokenProcessPool

__all__ = ["WorkerDied", "explain_main"]


class WorkerDied(BrokenProcessPool):
    """The process that ran a call has ended before the call has.

    Programs that handle `BrokenProcessPool` handle it, too; but the pool goes on.
    """

    def __init__(self, pid: int, exitcode: int | None) -> None:
        super().__init__(pid, exitcode)
        self.pid = pid
        self.exitcode = exitcode
        """As `multiprocessing.Process.exitcode` has it; None if nobody knows."""

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended the process, if one did."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        return -self.exitcode

    def __str__(self) -> str:
        worker = f"worker process {self.pid}"
        if self.exitcode is None:
            return f"{worker} has ended while it ran this call"
        if self.signal is None:
            return f"{worker} exited with code {self.exitcode} while it ran this call"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = f"signal {self.signal}"
        return f"{worker} was killed by {name} while it ran this call"


def explain_main(error: BaseException) -> None:
    """Say what to do about a function of a program that workers cannot import."""
    # Up to Python 3.13 it "can't get attribute 'name' on <module '__main__' (built-in)>", from 3.14
    # on "module '__main__' has no attribute 'name'".
    if (
        isinstance(error, AttributeError)
        and "module '__main__'" in str(error)
        and not getattr(sys.modules["__main__"], "__spec__", None)
    ):
        error.add_note(
            "What worker processes run must be importable. They cannot import what was typed in, "
            "read from standard input, or defined in a notebook, nor what is defined below "
            "`if __name__ == '__main__':`; put it into a module."
        )
