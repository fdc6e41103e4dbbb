"""Signals as a reason to wake up: `signal.set_wakeup_fd`, which a whole process shares."""

from __future__ import annotations

import os
import signal
import sys
import threading

if sys.version_info < (3, 12):
    # What a child receives is not its parent's; from 3.12 on asyncio sees to it.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


class SignalPipe:
    """The end of a loop's native signal pipe into which the interpreter writes signal numbers."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor; `loop.add_signal_handler` installs it by itself."""
        return self._fd

    def install(self) -> None:
        """Have every signal end the loop's park, also those without a handler in this loop.

        Without it a signal that arrives between the loop's last look and its park (Ctrl-C, say)
        would be seen at the next event only. Whoever receives the process's signals already is
        left alone; in other threads than the main one, signals are not seen at all.
        """
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self._fd, warn_on_full_buffer=False)
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
