"""`ThreadPoolExecutor`: calls that block, made in threads.

Queue, hand-over and the way back to the loop are native. Here are the threads themselves, which are
Python's own, so that `threading` knows them, and what happens once an executor: its begin and its
end, the interpreter's exit, a fork.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, ParamSpec, TypeVar

from rondel._rondel import Worker, WorkQueue, interpreter_exits

__all__ = ["ThreadPoolExecutor", "ThreadPoolStats"]

P = ParamSpec("P")
T = TypeVar("T")

LOGGER = logging.getLogger("concurrent.futures")

DEFAULT_SPIN = 50e-6
"""Seconds for which ``spin=True`` has an idle thread poll, which is as long as a loop does."""


class ThreadPoolStats(NamedTuple):
    """What an executor and its threads are doing, and what they have done."""

    threads: int
    """Threads that exist."""
    busy: int
    """Threads that make a call now, or are about to."""
    queued: int
    """Calls that wait for a thread."""
    taken: int
    """Calls that threads have taken up so far, cancelled ones included."""
    waited: float
    """Seconds that those calls had waited for a thread, added up."""
    longest_wait: float
    """Seconds that the call has waited which has waited longest and still does; 0 if none does."""


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """Calls functions in threads: `concurrent.futures.ThreadPoolExecutor`, with a native queue.

    Arguments, methods, errors and the order of things are the standard library's. What a loop of
    Rondel's waits for (`loop.run_in_executor()`, and `asyncio.to_thread()` where this is the
    default executor) comes back with a single wake-up of the loop.

    ``spin`` are the seconds for which a thread that has nothing to do polls before it sleeps, 20 to
    50 microseconds being useful: that costs CPU time, and saves most of what it takes to wake a
    thread. True is 50 microseconds; it does not poll unless told to.
    """

    # Names of the standard library's, for which the type checker has what is in them there.
    _work_queue: Any
    _shutdown_lock: Any
    _threads: Any
    _broken: Any

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        spin: bool | float = False,
    ) -> None:
        """Raise ValueError or TypeError, as the standard library's, for what cannot be."""
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)
        seconds = DEFAULT_SPIN if spin is True else float(spin)
        self._work_queue = WorkQueue(self._max_workers, seconds)
        self._set_up = None if initializer is None else (initializer, initargs)
        self._numbers = itertools.count()
        # Reentrant: a signal handler or a finalizer may submit while a thread is being started.
        self._shutdown_lock = threading.RLock()
        _executors.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn(*args, **kwargs)`` called in a thread and return its future.

        Raises RuntimeError after `shutdown()` and when the interpreter exits, BrokenThreadPool if
        a thread's initializer has failed.
        """
        future: Future[T] = Future()
        call = self._work_queue.submit(future, fn, args, kwargs)
        if call is not None:
            self._push_for_new_thread(call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end the threads when those that are queued have been made.

        ``cancel_futures`` cancels those that are queued; ``wait`` waits until all threads have
        ended.
        """
        with self._shutdown_lock:
            self._shutdown = True
            self._work_queue.close(cancel_futures)
        if wait:
            for thread in self._threads:
                thread.join()

    def stats(self) -> ThreadPoolStats:
        """Return what the executor and its threads are doing now."""
        return ThreadPoolStats(*self._work_queue.stats())

    def _push_for_new_thread(self, call: Any) -> None:
        # The locks are held from the push to the start, so that a shutdown, or the interpreter's
        # exit, waits for the thread.
        with self._shutdown_lock, _threads_start:
            if not self._work_queue.push_for_new_thread(call):
                return
            worker = self._work_queue.worker()
            thread = threading.Thread(
                name=f"{self._thread_name_prefix or self}_{next(self._numbers)}",
                target=_work,
                args=(weakref.ref(self), worker, self._set_up),
            )
            try:
                thread.start()
            except (RuntimeError, MemoryError, OSError):
                # Other threads, where there are any, will come to it.
                if self._work_queue.thread_failed(call):
                    raise
            except BaseException:
                # A signal handler's: the thread has started, and nobody has waited for that.
                self._add_thread(thread, worker)
                raise
            else:
                self._add_thread(thread, worker)

    def _add_thread(self, thread: threading.Thread, worker: Worker) -> None:
        self._threads.add(thread)
        _workers[thread] = worker

    def _begin_anew(self) -> None:
        self._shutdown_lock = threading.RLock()
        self._threads.clear()
        self._work_queue.begin_anew()


def _work(
    executor_reference: weakref.ref[ThreadPoolExecutor],
    worker: Worker,
    set_up: tuple[Callable[..., object], tuple[Any, ...]] | None,
) -> None:
    """Make calls until there are no more: what a thread does."""
    if set_up is not None:
        initializer, arguments = set_up
        try:
            initializer(*arguments)
        except BaseException:
            LOGGER.critical("Exception in initializer:", exc_info=True)
            executor = executor_reference()
            if executor is not None:
                executor._broken = (
                    "A thread initializer failed, the thread pool is not usable anymore"
                )
            del executor
            worker.initializer_failed()
            return
    while worker.run():
        pass


_executors: weakref.WeakSet[ThreadPoolExecutor] = weakref.WeakSet()
_threads_start = threading.RLock()
_workers: weakref.WeakKeyDictionary[threading.Thread, Worker] = weakref.WeakKeyDictionary()


def _join_all() -> None:
    """Wait for all threads, also those whose executor is gone: the interpreter exits."""
    with _threads_start:
        interpreter_exits()
        workers = list(_workers.items())
    for _, worker in workers:
        worker.close()
    for thread, _ in workers:
        thread.join()


def _forget_threads() -> None:
    """Begin anew in the child of a fork, which has none of the threads."""
    _threads_start._at_fork_reinit()  # type: ignore[attr-defined]
    _workers.clear()
    for executor in list(_executors):
        executor._begin_anew()


# As the standard library does for its own: before `threading` waits for threads that would never
# end by themselves.
threading._register_atexit(_join_all)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_forget_threads)
