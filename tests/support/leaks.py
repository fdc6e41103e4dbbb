"""What a test must not leave behind: descriptors, threads, and errors nobody looked at."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from support.loops import Context, Loop


def open_descriptors() -> dict[int, str]:
    """This process's open descriptors and what each is open on."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return found


def kernel_threads() -> set[str]:
    """The kernel's ids of this process's threads, native ones included."""
    return set(os.listdir("/proc/self/task"))


def eventually(reached: Callable[[], bool], *, within: float = 5.0) -> bool:
    """Poll until ``reached()`` is true; for states of the kernel that send no event."""
    deadline = time.monotonic() + within
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


class Strays:
    """Contexts that loops handed to their exception handler and that no test has taken yet."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []

    def __call__(self, loop: Loop, context: Context) -> None:
        self.contexts.append(context)

    def take(self) -> list[Context]:
        """Hand over the contexts so far: the test expected them and judges them."""
        taken, self.contexts = self.contexts, []
        return taken

    def take_one(self) -> Context:
        """Hand over the only context there is."""
        taken = self.take()
        assert len(taken) == 1, f"expected one call of the exception handler, got {taken}"
        return taken[0]


class ErrorLog(logging.Handler):
    """Errors written to the "asyncio" logger that no test has taken yet."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[logging.LogRecord]:
        """Hand over the records so far: the test expected them and judges them."""
        taken, self.records = self.records, []
        return taken


class Ledger:
    """A process's state before a test, to compare with its state after it."""

    def __init__(self) -> None:
        gc.collect()
        # What is alive now is none of the test's, and need not be looked at again: the
        # collections that follow stay cheap however many tests have run.
        gc.freeze()
        self.lost_errors: list[str] = []
        self._descriptors = open_descriptors()
        self._threads = set(threading.enumerate())
        self._kernel_threads = kernel_threads()
        self._unraisablehook = sys.unraisablehook
        self._thread_excepthook = threading.excepthook
        sys.unraisablehook = self._on_unraisable
        threading.excepthook = self._on_thread_error

    def _on_unraisable(self, unraisable: Any) -> None:
        self.lost_errors.append(f"{unraisable.exc_value!r} in {unraisable.object!r}")

    def _on_thread_error(self, args: threading.ExceptHookArgs) -> None:
        self.lost_errors.append(f"{args.exc_value!r} in {args.thread!r}")

    def take_lost_errors(self) -> list[str]:
        """Hand over the errors lost in finalizers and threads: the test expected them."""
        gc.collect()
        taken, self.lost_errors = self.lost_errors, []
        return taken

    def close(self) -> list[str]:
        """Stop watching, and say in plain words what was left behind."""
        gc.collect()
        gc.collect()  # finalizers may have made new garbage
        eventually(lambda: not self._new_threads() and kernel_threads() <= self._kernel_threads)
        sys.unraisablehook = self._unraisablehook
        threading.excepthook = self._thread_excepthook
        left = [f"error lost: {error}" for error in self.lost_errors]
        left += [f"thread still running: {thread!r}" for thread in self._new_threads()]
        native = kernel_threads() - self._kernel_threads
        if native and not self._new_threads():
            left.append(f"native threads still running: {sorted(native)}")
        after = open_descriptors()
        left += [
            f"descriptor still open: {fd} -> {target}"
            for fd, target in after.items()
            if self._descriptors.get(fd) != target
        ]
        left += [
            f"descriptor closed that the test did not open: {fd} -> {target}"
            for fd, target in self._descriptors.items()
            if fd not in after
        ]
        return left

    def _new_threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._threads
