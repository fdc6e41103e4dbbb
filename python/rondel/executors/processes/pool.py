"""The pool: which call goes to which worker, and what becomes of it.

Calls wait in one queue. A worker that has nothing to do is given the first, by whichever thread
finds the two together: the one that submits the call, or the driver, which reads the outcome of the
one before. Two things are done without the lock, since they run the program's own code: pickling,
and handing over outcomes.

A worker that dies takes along the call that it had begun, as it says in shared memory, and no
other.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from multiprocessing.context import BaseContext
from typing import Any, Literal

from rondel.executors.processes import start
from rondel.executors.processes.calls import Call
from rondel.executors.processes.child import framing, pickling
from rondel.executors.processes.drivers import Driver, LoopDriver, ThreadDriver
from rondel.executors.processes.errors import WorkerDied, explain_main
from rondel.executors.processes.workers import Worker, connection
from rondel.loop import Loop

__all__ = ["Pool"]

STARTS = 5
"""How many workers may die in a row before they are ready, until the pool gives up."""

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_interpreter_ends = False


class Pool:
    """What is behind a `ProcessPoolExecutor`; outlives it until the last call has ended."""

    def __init__(
        self,
        size: int,
        context: BaseContext | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        calls_per_worker: int | None,
        cancel: Literal["ignore", "kill"],
    ) -> None:
        self.size = size
        self.context = context
        self.forks = context is not None and context.get_start_method() == "fork"
        self._initialization = (initializer, initargs)
        self._calls_per_worker = calls_per_worker
        self._cancel = cancel
        self._lock = threading.RLock()
        # Held while workers are started, never asked for by who holds the other one.
        self._growing = threading.RLock()
        self._queue: deque[Call] = deque()
        self._idle: list[Worker] = []
        self.workers: dict[int, Worker] = {}
        self._starting = 0  # workers that are not ready
        self._spawning = 0  # those among them that have no process yet
        self._failed_starts = 0
        self._open_calls = 0  # calls that workers have
        self._is_closing = False
        self._ends_workers = False  # they have been told to end: no other takes over their calls
        self._broken: BaseException | None = None
        self._finished = threading.Event()
        self.driver: Driver | None = None
        _pools.add(self)

    @property
    def is_broken(self) -> bool:
        """Whether the pool has given up."""
        return self._broken is not None

    @property
    def _gives_up(self) -> bool:
        return self._ends_workers or self._broken is not None

    # Calls

    def add(self, call: Call) -> None:
        """Run a call. Raises RuntimeError after a shutdown, BrokenProcessPool if the pool is."""
        loop = asyncio._get_running_loop()
        if self.forks and loop is not None:
            raise RuntimeError("a running event loop cannot be forked: use spawn or forkserver")
        with self._lock:
            if self._broken is not None:
                raise self._broken_now()
            if self._is_closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _interpreter_ends:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            self._queue.append(call)
        try:
            self._dispatch()
        except BaseException:
            with self._lock:
                if call in self._queue:
                    self._queue.remove(call)
            raise
        if self.driver is None or loop is not None:
            self._find_driver(loop)

    def kill_for(self, call: Call) -> bool:
        """Kill the worker that runs a call, if that is what cancelling means; False if not."""
        if self._cancel != "kill":
            return False
        with self._lock:
            for worker in self.workers.values():
                if worker.calls and worker.calls[0][1] is call:
                    assert worker.process is not None
                    worker.process.kill()
                    return True
        return False

    def _dispatch(self) -> None:
        """Give calls to idle workers, and start workers for the others."""
        while True:
            with self._lock:
                if not self._queue or not self._idle:
                    break
                call = self._queue.popleft()
                worker = self._idle.pop()
                worker.calls.append((0, call))
                self._open_calls += 1
            self._give(worker, call)
        self._grow()

    def _give(self, worker: Worker, call: Call) -> None:
        """Send a call to the worker that is reserved for it; raises what interrupts this thread."""
        error: BaseException | None = None
        body: bytes | pickling.Pickled = b""
        begins = call.begin()
        if begins:
            try:
                body = pickling.dump(call.arguments)
            except BaseException as unpicklable:  # noqa: BLE001 - the call's, or this thread's
                error = unpicklable
        with self._lock:
            # Else its end has put the call back.
            if worker.is_open:
                if begins and error is None:
                    worker.served += 1
                    worker.calls[-1] = (worker.served, call)
                    try:
                        sent = worker.send(worker.served, call.kind, body)
                        if not sent and self.driver is not None:
                            self.driver.watch_writable(worker)
                    except (MemoryError, OSError) as too_large:
                        error = too_large
                if not begins or error is not None:
                    worker.calls.pop()
                    self._open_calls -= 1
                    self._is_idle(worker)
            elif isinstance(error, Exception):
                return
        if error is None:
            return
        if isinstance(error, Exception) or not _is_main_thread():
            call.fail(error)
        else:
            # A signal handler's, as that of a Ctrl-C: for the program, not for who waits.
            call.cancel()
            raise error

    def _is_idle(self, worker: Worker) -> None:
        if not worker.is_ready or worker.is_closing or worker.calls:
            return
        limit = self._calls_per_worker
        if limit is not None and worker.served >= limit:
            worker.end_requests()
        else:
            self._idle.append(worker)

    # Workers

    def _grow(self) -> None:
        """Start the workers that the queue asks for; wait for those that another thread starts."""
        with self._growing:
            while self._wants_worker():
                try:
                    self._start()
                except BaseException as error:
                    with self._lock:
                        self._starting -= 1
                        others = bool(self.workers)
                        in_driver = self.driver is not None
                    if isinstance(error, Exception):
                        if others:
                            return  # they go on
                        if in_driver:
                            self._break(error)
                            return
                    raise
                finally:
                    with self._lock:
                        self._spawning -= 1

    def _wants_worker(self) -> bool:
        with self._lock:
            wanted = self.size if self.forks and self._queue else len(self._queue)
            room = self.size - len(self.workers) - self._spawning
            if self._starting >= wanted or room <= 0 or self._gives_up:
                return False
            self._starting += 1
            self._spawning += 1
            return True

    def _start(self) -> None:
        worker, ends = connection()
        try:
            worker.started(start.start(self.context, ends, *self._initialization))
        except BaseException:
            worker.close()
            raise
        finally:
            ends.close()
        with self._lock:
            self.workers[worker.pid] = worker
            if self.driver is not None:
                self.driver.watch(worker)

    # What the driver finds

    def readable(self, worker: Worker) -> None:
        """Take what a worker has sent."""
        with self._lock:
            if not worker.is_open:
                return
            frames, goes_on = worker.read()
            if not goes_on and self.driver is not None:
                self.driver.unwatch_socket(worker)
            outcomes = self._received(worker, frames)
        if outcomes:
            self._finish(worker, outcomes)

    def _received(self, worker: Worker, frames: list[tuple[int, int, bytes]]) -> list[Any]:
        outcomes: list[Any] = []
        for number, kind, body in frames:
            if kind == framing.READY:
                worker.is_ready = True
                self._starting -= 1
                self._failed_starts = 0
            elif kind & ~framing.IN_ARENA == framing.UNFIT:
                outcomes.append((None, number, kind, body))
                continue
            elif worker.calls:  # else it has been given up
                _, call = worker.calls.popleft()
                self._open_calls -= 1
                outcomes.append((call, number, kind, body))
            self._is_idle(worker)
        if not outcomes and frames:
            outcomes.append((None, 0, framing.READY, b""))
        return outcomes

    def _finish(self, worker: Worker, outcomes: list[Any]) -> None:
        try:
            # First the next call, so that the worker has something to do.
            self._dispatch()
        finally:
            self._hand_over(worker, outcomes)

    def _hand_over(self, worker: Worker, outcomes: list[Any]) -> None:
        for call, number, kind, body in outcomes:
            if kind == framing.READY:
                continue
            try:
                result = worker.take(number, kind, body)
                error = None
                if kind & ~framing.IN_ARENA != framing.RESULT:
                    error = _remote_error(*result)
            except BaseException as unreadable:  # noqa: BLE001 - the call's
                error = unreadable
            if call is None:
                # Its process ends by itself, and says what it has to say before.
                worker.unfit = error
            elif error is None:
                call.succeed(result)
            else:
                call.fail(error)
            result = error = None
            del call
        if self._is_closing:
            self.settle()

    def writable(self, worker: Worker) -> bool:
        """Send what is left for a worker; True if nothing is."""
        with self._lock:
            return not worker.is_open or worker.flush()

    def ended(self, worker: Worker) -> None:
        """See to a worker whose process has ended."""
        while True:
            with self._lock:
                if not worker.is_open:
                    return
                frames, goes_on = worker.read()
                outcomes = self._received(worker, frames)
            if outcomes:
                self._finish(worker, outcomes)
            if not frames or not goes_on:
                break
        assert worker.process is not None
        # A sentinel that is a pipe says so a moment before there is an exit code.
        worker.process.join()
        code = worker.process.exitcode
        with self._lock:
            if self.driver is not None:
                self.driver.unwatch(worker)
            begun = worker.begun()
            worker.close()
            self.workers.pop(worker.pid, None)
            if worker in self._idle:
                self._idle.remove(worker)
            lost = [call for number, call in worker.calls if 0 < number <= begun]
            again = [call for number, call in worker.calls if not 0 < number <= begun]
            self._open_calls -= len(worker.calls)
            worker.calls.clear()
            if not self._ends_workers:
                self._queue.extendleft(reversed(again))
                again = []
            if not worker.is_ready:
                self._starting -= 1
                if not any(other.is_ready for other in self.workers.values()):
                    self._failed_starts += 1
        worker.close_sentinel()
        died = WorkerDied(worker.pid, code)
        for call in lost:
            call.fail(died)
        for call in again:
            call.cancel()
        if worker.unfit is not None:
            self._break(worker.unfit)
        elif self._failed_starts >= STARTS:
            self._break(died)
        elif self._queue:
            self._dispatch()
        self.settle()

    # The driver

    def _find_driver(self, loop: asyncio.AbstractEventLoop | None) -> None:
        with self._lock:
            driver = self.driver
            if driver is None:
                if isinstance(loop, Loop) and not self.forks:
                    self._adopt(LoopDriver(self, loop))
                else:
                    self._start_thread()
            elif (
                isinstance(driver, ThreadDriver)
                and isinstance(loop, Loop)
                and not self.forks
                and self._open_calls + len(self._queue) <= 1
            ):
                driver.successor = loop
                driver.wake()

    def _adopt(self, driver: Driver) -> None:
        self.driver = driver
        for worker in self.workers.values():
            driver.watch(worker)

    def _start_thread(self) -> ThreadDriver:
        """Raises RuntimeError and MemoryError if no thread can be started."""
        driver = ThreadDriver(self)
        self._adopt(driver)
        try:
            driver.start()
        except (MemoryError, RuntimeError):
            self.driver = None
            driver.forsake()
            raise
        return driver

    def thread_blocks(self) -> None:
        """Take the pool over from the loop of this thread, which is about to wait for a call."""
        driver = self.driver
        if isinstance(driver, LoopDriver) and driver.is_here:
            with self._lock:
                driver.leave()
                self._start_thread()

    def driver_leaves(self, driver: LoopDriver) -> None:
        """Do without a loop that stops."""
        with self._lock:
            driver.leave()
            if self.driver is driver:
                self.driver = None
                if self._queue or self._open_calls or self._is_closing:
                    self._start_thread()

    def thread_may_go(self, driver: ThreadDriver) -> bool:
        """Whether a thread need not wait any longer."""
        with self._lock:
            if self._finished.is_set():
                return True  # it stays the driver, for `join` to wait for the thread
            successor = driver.successor
            if successor is None or self._queue or self._open_calls or self._is_closing:
                return False
            driver.successor = None
            for worker in self.workers.values():
                driver.unwatch(worker)
            self.driver = None
        try:
            successor.call_soon_threadsafe(self._follow, successor)
        except RuntimeError:
            pass  # closed: the next call finds another
        return True

    def _follow(self, loop: Loop) -> None:
        with self._lock:
            if self.driver is None and not self._finished.is_set():
                self._adopt(LoopDriver(self, loop))

    # The end

    def _broken_now(self) -> BrokenProcessPool:
        error = BrokenProcessPool(
            "A child process terminated abruptly, the process pool is not usable anymore"
            if isinstance(self._broken, WorkerDied)
            else "A worker could not be initialized, the process pool is not usable anymore"
        )
        error.__cause__ = self._broken
        return error

    def _break(self, cause: BaseException) -> None:
        """Give up: no worker gets ready."""
        with self._lock:
            if self._broken is None:
                self._broken = cause
            calls = [*self._queue]
            self._queue.clear()
            for worker in self.workers.values():
                calls += [call for _, call in worker.calls]
                self._open_calls -= len(worker.calls)
                worker.calls.clear()
                assert worker.process is not None
                worker.process.terminate()
            self._idle.clear()
        for call in calls:
            if call.begin():
                call.fail(self._broken_now())
        self.settle()

    def settle(self) -> None:
        """Let workers go that have nothing to do any more, after a shutdown."""
        with self._lock:
            over = self._broken is not None or (
                self._is_closing and not self._queue and not self._open_calls
            )
            if not over:
                return
            for worker in self.workers.values():
                if not worker.is_closing and not worker.calls:
                    worker.end_requests()
            self._idle.clear()
            if self._is_closing and not self.workers and not self._spawning:
                self._finished.set()
                driver = self.driver
                if isinstance(driver, LoopDriver):
                    if driver.is_here:
                        driver.leave()
                    self.driver = None

    def close(self, *, joined: bool = False) -> None:
        """Take no more calls, and end when the last has ended. Called by any thread.

        `joined` says that `join` is called next, and sees to the rest.
        """
        with self._lock:
            self._is_closing = True
            driver = self.driver
            if driver is None and not joined and self.workers:
                self._start_thread()
        if driver is not None:
            driver.wake()
        else:
            self.settle()

    def cancel_queued(self, *, spare: bool) -> None:
        """Cancel what no worker has got; `spare` those that workers are being started for."""
        with self._lock:
            calls = [*self._queue]
            spared = calls[: self._starting] if spare else []
            self._queue = deque(spared)
            del calls[: len(spared)]
        for call in calls:
            call.cancel()

    def join(self) -> None:
        """Wait until all workers have ended, after `close`."""
        while True:
            with self._lock:
                driver = self.driver
                if isinstance(driver, LoopDriver) and driver.is_here:
                    driver.leave()
                    driver = self.driver = None
                if driver is None:
                    if self._finished.is_set():
                        return
                    # Not this thread: a signal handler may end the wait, and others may join, too.
                    driver = self._start_thread()
            if not isinstance(driver, ThreadDriver):
                self._finished.wait()
            elif driver.thread is threading.current_thread():
                return  # a callback of a future: it cannot wait for itself
            else:
                driver.thread.join()
                if self._finished.is_set():
                    return

    def end_workers(self, signal: Literal["terminate", "kill"]) -> None:
        """Cancel what no worker has begun, and send a signal to each."""
        with self._lock:
            self._ends_workers = True
        self.cancel_queued(spare=False)
        with self._lock:
            for worker in self.workers.values():
                if worker.process is not None:
                    getattr(worker.process, signal)()

    def forget(self) -> None:
        """Begin anew in a forked child: workers and calls are the parent's."""
        self._lock = threading.RLock()
        self._growing = threading.RLock()
        self._finished = threading.Event()
        for worker in self.workers.values():
            worker.forsake()
        if isinstance(self.driver, ThreadDriver):
            self.driver.forsake()
        self.driver = None
        self.workers.clear()
        self._idle.clear()
        self._queue.clear()
        self._starting = self._spawning = self._open_calls = 0


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _remote_error(text: str, pickled: bytes) -> BaseException:
    error: BaseException
    try:
        error = pickle.loads(pickled)
    except BaseException as unreadable:  # noqa: BLE001 - the call's
        error = unreadable
    remote: Any = _RemoteTraceback
    error.__cause__ = remote(f'\n"""\n{text}"""')
    explain_main(error)
    return error


def _end_all() -> None:
    global _interpreter_ends  # noqa: PLW0603
    _interpreter_ends = True
    for pool in list(_pools):
        pool.close(joined=True)
        pool.join()


def _forget_all() -> None:
    for pool in list(_pools):
        pool.forget()


threading._register_atexit(_end_all)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_forget_all)
