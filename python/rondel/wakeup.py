"""Signals as a reason to wake up: `signal.set_wakeup_fd`, which a whole process shares."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


class SignalPipe:
    """The end of a loop's native signal pipe into which the interpreter writes signal numbers."""

    def __init__(self, fileno: Callable[[], int]) -> None:
        self._fileno = fileno
        self._fd = fileno()

    def fileno(self) -> int:
        """Return the descriptor; `loop.add_signal_handler` installs it by itself."""
        return self._fileno()

    def install(self) -> None:
        """Have every signal end the loop's park, also those without a handler in this loop.

        Without it a signal that arrives between the loop's last look and its park (Ctrl-C, say)
        would be seen at the next event only. Whoever receives the process's signals already is
        left alone; in other threads than the main one, signals are not seen at all.
        """
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self.fileno(), warn_on_full_buffer=False)
            if before != self._fd:
                _restore(before)

    def uninstall(self) -> None:
        """Receive no more; whoever has taken over is left alone."""
        if threading.current_thread() is threading.main_thread():
            installed = signal.set_wakeup_fd(-1)
            if installed != self._fd:
                _restore(installed)


def _restore(fd: int) -> None:
    if fd != -1:
        try:
            signal.set_wakeup_fd(fd)
        except (ValueError, OSError):
            pass  # closed meanwhile by whoever installed it
