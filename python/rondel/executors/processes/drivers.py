"""Who waits for the workers of a pool: a Rondel loop, or a thread.

A pool has one driver at a time. Whoever it is calls `Pool.readable`, `Pool.writable` and
`Pool.ended`, from one thread.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondel.executors.processes.pool import Pool
    from rondel.executors.processes.workers import Worker
    from rondel.loop import Loop

__all__ = ["Driver", "LoopDriver", "ThreadDriver"]


class Driver:
    """Waits for workers on behalf of a pool. Its methods are called with the pool's lock held."""

    def watch(self, worker: Worker) -> None:
        """Begin to wait for a worker."""
        raise NotImplementedError

    def watch_writable(self, worker: Worker) -> None:
        """Call `Pool.writable` once the worker can be written to."""
        raise NotImplementedError

    def unwatch_socket(self, worker: Worker) -> None:
        """Wait no more for what the worker sends; called by the driver's thread."""
        raise NotImplementedError

    def unwatch(self, worker: Worker) -> None:
        """Wait no more for a worker; called by the driver's thread."""
        raise NotImplementedError

    def wake(self) -> None:
        """Have `Pool.settle` called soon, by the driver's thread; called by any, without lock."""
        raise NotImplementedError


class LoopDriver(Driver):
    """A Rondel loop, as long as it runs."""

    def __init__(self, pool: Pool, loop: Loop) -> None:
        self._pool = pool
        self.loop = loop
        self._watched: dict[Worker, None] = {}
        loop._drivers[self] = None

    @property
    def is_here(self) -> bool:
        """Whether the loop runs in this thread."""
        return asyncio._get_running_loop() is self.loop

    def watch(self, worker: Worker) -> None:
        """As `Driver.watch`."""
        self._in_loop(self._watch, worker)

    def _watch(self, worker: Worker) -> None:
        if worker.is_open and self._pool.driver is self:
            self._watched[worker] = None
            self.loop._add_reader(worker.fd, self._pool.readable, worker)
            self.loop._add_reader(worker.sentinel, self._pool.ended, worker)

    def watch_writable(self, worker: Worker) -> None:
        """As `Driver.watch_writable`."""
        self._in_loop(self._watch_writable, worker)

    def _watch_writable(self, worker: Worker) -> None:
        if worker.is_open and self._pool.driver is self:
            self.loop._add_writer(worker.fd, self._writable, worker)

    def _writable(self, worker: Worker) -> None:
        if self._pool.writable(worker):
            self.loop._remove_writer(worker.fd)

    def unwatch_socket(self, worker: Worker) -> None:
        """As `Driver.unwatch_socket`."""
        self.loop._remove_reader(worker.fd)
        self.loop._remove_writer(worker.fd)

    def unwatch(self, worker: Worker) -> None:
        """As `Driver.unwatch`."""
        if worker in self._watched:
            del self._watched[worker]
            self.unwatch_socket(worker)
            self.loop._remove_reader(worker.sentinel)

    def leave(self) -> None:
        """Wait for nothing any more; called in the loop's thread."""
        self.loop._drivers.pop(self, None)
        for worker in list(self._watched):
            self.unwatch(worker)

    def wake(self) -> None:
        """As `Driver.wake`."""
        self._in_loop(self._pool.settle)

    def _in_loop(self, step: Callable[..., object], *arguments: Any) -> None:
        if self.is_here:
            step(*arguments)
            return
        try:
            self.loop.call_soon_threadsafe(step, *arguments)
        except RuntimeError:
            pass  # closed just now: it has left the pool, or is about to

    def loop_stops(self) -> None:
        """Leave the pool to a thread if there is work; the loop calls this as it stops."""
        self._pool.driver_leaves(self)


class ThreadDriver(Driver):
    """A thread, which waits until the pool has no worker any more or a loop takes over."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._selector = selectors.DefaultSelector()
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._calls: dict[int, Callable[[], object]] = {}
        self.successor: Loop | None = None
        # The pool's exit handler ends it, after the calls that are left.
        self.thread = threading.Thread(target=self.run, name="rondel-processes", daemon=True)
        # Held to wake and to close: once closed, the number is somebody else's. Reentrant, for
        # signal handlers.
        self._closing = threading.RLock()
        self._closed = False

    def start(self) -> None:
        """Run in a thread of its own. Raises RuntimeError or MemoryError if there can be none."""
        self.thread.start()

    def watch(self, worker: Worker) -> None:
        """As `Driver.watch`."""
        self._calls[worker.fd] = lambda: self._socket_is_ready(worker)
        self._calls[worker.sentinel] = lambda: self._pool.ended(worker)
        self._selector.register(worker.fd, selectors.EVENT_READ)
        self._selector.register(worker.sentinel, selectors.EVENT_READ)

    def watch_writable(self, worker: Worker) -> None:
        """As `Driver.watch_writable`."""
        self._selector.modify(worker.fd, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _socket_is_ready(self, worker: Worker) -> None:
        if self._pool.writable(worker) and worker.fd in self._calls:
            self._selector.modify(worker.fd, selectors.EVENT_READ)
        self._pool.readable(worker)

    def unwatch_socket(self, worker: Worker) -> None:
        """As `Driver.unwatch_socket`."""
        if self._calls.pop(worker.fd, None) is not None:
            self._selector.unregister(worker.fd)

    def unwatch(self, worker: Worker) -> None:
        """As `Driver.unwatch`."""
        self.unwatch_socket(worker)
        if self._calls.pop(worker.sentinel, None) is not None:
            self._selector.unregister(worker.sentinel)

    def wake(self) -> None:
        """As `Driver.wake`."""
        with self._closing:
            if not self._closed:
                os.eventfd_write(self._wakeup, 1)

    def run(self) -> None:
        """Drive the pool from this thread, until it is done."""
        pool = self._pool
        try:
            pool.settle()
            while not pool.thread_may_go(self):
                for key, _ in self._selector.select():
                    descriptor = key.fd
                    if descriptor == self._wakeup:
                        os.eventfd_read(self._wakeup)
                        pool.settle()
                    elif descriptor in self._calls:
                        self._call(self._calls[descriptor])
        finally:
            with self._closing:
                self._closed = True
                self._selector.close()
                os.close(self._wakeup)

    def _call(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException:  # noqa: BLE001 - a future's callback ends its own thread, not this one
            threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), self.thread]))
            self._pool.settle()

    def forsake(self) -> None:
        """Close what a forked child has inherited."""
        if not self._closed:
            self._closed = True
            self._selector.close()
            os.close(self._wakeup)
