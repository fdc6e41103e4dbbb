"""`ProcessPoolExecutor`: calls run by worker processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor as _Standard
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from rondel.executors.processes.calls import FutureCall, LoopCall
from rondel.executors.processes.child import framing
from rondel.executors.processes.errors import WorkerDied
from rondel.executors.processes.pool import Pool

if TYPE_CHECKING:
    from rondel.loop import Loop

__all__ = ["ProcessPoolExecutor", "WorkerDied"]

P = ParamSpec("P")
T = TypeVar("T")


class ProcessPoolExecutor(_Standard):
    """A pool of processes; takes what `concurrent.futures.ProcessPoolExecutor` takes.

    Workers are spawned unless `mp_context` says otherwise. With ``cancel="kill"``, cancelling a
    call that runs kills its worker, which is replaced; with ``"ignore"`` it runs to its end.

    A worker that dies fails the call that it ran with `WorkerDied`, is replaced, and the pool goes
    on; `BrokenProcessPool` is for pools whose workers cannot be initialized. Used from a Rondel
    loop that runs, the pool has no thread: the loop drives it.

    Raises ValueError and TypeError as the standard class does.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        cancel: Literal["ignore", "kill"] = "ignore",
    ) -> None:
        if max_workers is None:
            max_workers = _cpus()
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
            if mp_context is not None and mp_context.get_start_method() == "fork":
                raise ValueError(
                    "max_tasks_per_child is incompatible with the 'fork' multiprocessing start "
                    "method; supply a different mp_context."
                )
        if cancel not in ("ignore", "kill"):
            raise ValueError(f"cancel must be 'ignore' or 'kill', not {cancel!r}")
        self._max_workers = max_workers
        self._mp_context = mp_context or get_context("spawn")
        self._pool = Pool(
            max_workers, mp_context, initializer, initargs, max_tasks_per_child, cancel
        )
        self._kills = cancel == "kill"
        weakref.finalize(self, self._pool.close).atexit = False

    @property
    def _processes(self) -> dict[int, Any]:  # type: ignore[override]
        # As the standard class has it, for who looks at the workers.
        return {
            pid: worker.process
            for pid, worker in list(self._pool.workers.items())
            if worker.process is not None
        }

    @property
    def _broken(self) -> bool:  # type: ignore[override]
        return self._pool.is_broken

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker and return its future.

        Raises RuntimeError after `shutdown`, BrokenProcessPool if workers cannot be initialized.
        """
        call = FutureCall(self._pool, framing.CALL, fn, args, kwargs)
        self._pool.add(call)
        return call.future

    def _run_in_loop(
        self, loop: Loop, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Run a call for `run_in_executor`. Raises as `submit` does."""
        if asyncio._get_running_loop() is not loop:
            # It may begin to run at any time, or never.
            return asyncio.wrap_future(self.submit(function, *arguments), loop=loop)
        call = LoopCall(loop, framing.CALL, function, arguments, {})
        if self._kills:
            call.future.add_done_callback(partial(_cancelled, self._pool, call))
        self._pool.add(call)
        return call.future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over ``fn(*args)`` for ``args`` of ``zip(*iterables)``, in order.

        A worker is given `chunksize` calls at a time. With `buffersize`, arguments are taken as
        results are, and at most so many chunks are in work. Raises TimeoutError while iterating,
        when a result is not there `timeout` seconds after this call.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else timeout + time.monotonic()
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        first = chunks if buffersize is None else itertools.islice(chunks, buffersize)
        futures = deque(self._submit_chunk(fn, chunk) for chunk in first)

        def results() -> Iterator[T]:
            try:
                while futures:
                    if buffersize is not None and (chunk := next(chunks, None)) is not None:
                        futures.append(self._submit_chunk(fn, chunk))
                    left = None if end is None else end - time.monotonic()
                    future = futures.popleft()
                    try:
                        chunk_results = future.result(left)
                    finally:
                        future.cancel()
                        del future
                    chunk_results.reverse()
                    while chunk_results:
                        yield chunk_results.pop()
            finally:
                for future in futures:
                    future.cancel()

        return results()

    def _submit_chunk(self, function: Callable[..., T], chunk: list[Any]) -> Future[list[T]]:
        call = FutureCall(self._pool, framing.CHUNK, function, chunk, {})
        self._pool.add(call)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and let workers end after the last.

        `wait` returns when all have; `cancel_futures` cancels the calls that no worker has got.
        """
        if cancel_futures:
            self._pool.cancel_queued(spare=True)
        self._pool.close(joined=wait)
        if wait:
            self._pool.join()

    def terminate_workers(self) -> None:
        """Send SIGTERM to all workers, cancel what has not begun, and shut down."""
        self._force_shutdown(operation="terminate")

    def kill_workers(self) -> None:
        """Send SIGKILL to all workers, cancel what has not begun, and shut down."""
        self._force_shutdown(operation="kill")

    def _force_shutdown(self, operation: Literal["terminate", "kill"]) -> None:
        # The name is the standard class's, whose own would be inherited otherwise.
        if operation not in ("terminate", "kill"):
            raise ValueError(f"Unsupported operation: {operation!r}")
        self._pool.close()
        self._pool.end_workers(operation)


def _cancelled(pool: Pool, call: LoopCall, future: asyncio.Future[Any]) -> None:
    if future.cancelled():
        pool.kill_for(call)


def _chunks(arguments: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := list(itertools.islice(arguments, size)):
        yield chunk


def _cpus() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return os.cpu_count() or 1
