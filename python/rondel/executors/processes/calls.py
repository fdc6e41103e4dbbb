"""Calls: what is to be run, and who is told of the outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondel.executors.processes.pool import Pool

__all__ = ["Call", "CallFuture", "FutureCall", "LoopCall"]


class Call:
    """A call that was asked for; the pool drops its function and arguments when it has ended."""

    __slots__ = ("arguments", "begun", "kind", "options")

    def __init__(self, kind: int, function: Any, arguments: Any, options: dict[str, Any]) -> None:
        self.kind = kind
        self.arguments = (function, arguments, options)
        self.begun = False

    def begin(self) -> bool:
        """Mark the call as one that is run; False if it was cancelled before."""
        raise NotImplementedError

    def succeed(self, result: Any) -> None:
        """Hand over the result."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Hand over an exception."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel a call that has not begun."""
        raise NotImplementedError


class _Waiters(list[Any]):
    # `concurrent.futures.wait` and `as_completed` leave a waiter before they block.
    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        self._pool.thread_blocks()


class CallFuture(Future[Any]):
    """The future of a call that `submit` returns."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._call: Call | None = None
        self._waiters = _Waiters(pool)

    def result(self, timeout: float | None = None) -> Any:
        """Return the result; raises as `concurrent.futures.Future.result` does."""
        if not self.done():
            self._pool.thread_blocks()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception; raises as `concurrent.futures.Future.exception` does."""
        if not self.done():
            self._pool.thread_blocks()
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the call; a running one too if the pool was made with ``cancel="kill"``."""
        if super().cancel():
            return True
        call = self._call
        if call is None or not self._pool.kill_for(call):
            return False
        with self._condition:
            if self._state != "RUNNING":
                return self.cancelled()
            # A running future cannot be cancelled by its own methods.
            self._state = "CANCELLED_AND_NOTIFIED"
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]
        return True


class FutureCall(Call):
    """A call whose outcome goes to a `concurrent.futures.Future`."""

    __slots__ = ("future",)

    def __init__(
        self, pool: Pool, kind: int, function: Any, arguments: Any, options: dict[str, Any]
    ) -> None:
        super().__init__(kind, function, arguments, options)
        self.future = CallFuture(pool)
        self.future._call = self

    def begin(self) -> bool:
        """As `Call.begin`."""
        if not self.begun:
            self.begun = self.future.set_running_or_notify_cancel()
        return self.begun and not self.future.cancelled()

    def succeed(self, result: Any) -> None:
        """As `Call.succeed`."""
        with contextlib.suppress(InvalidStateError):  # cancelled while it ran
            self.future.set_result(result)
        self.future._call = None

    def fail(self, error: BaseException) -> None:
        """As `Call.fail`."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)
        self.future._call = None

    def cancel(self) -> None:
        """As `Call.cancel`; those who wait for the future are told at once."""
        if self.future.cancel():
            if self.future._state == "CANCELLED":  # and nobody has been told
                self.future.set_running_or_notify_cancel()
        else:  # a worker had it, but died before it began
            self.fail(CancelledError())


class LoopCall(Call):
    """A call whose outcome goes to a future of a Rondel loop, without a step in between."""

    __slots__ = ("future", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kind: int,
        function: Any,
        arguments: Any,
        options: dict[str, Any],
    ) -> None:
        super().__init__(kind, function, arguments, options)
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()

    def begin(self) -> bool:
        """As `Call.begin`."""
        self.begun = True
        return not self.future.cancelled()

    def succeed(self, result: Any) -> None:
        """As `Call.succeed`."""
        if asyncio._get_running_loop() is self.loop:
            if not self.future.done():
                self.future.set_result(result)
        else:
            self._in_loop(self._succeed, result)

    def fail(self, error: BaseException) -> None:
        """As `Call.fail`."""
        if isinstance(error, StopIteration):
            # As asyncio does: a future cannot raise it into a coroutine.
            cause, error = error, RuntimeError("StopIteration interacts badly with generators")
            error.__cause__ = cause
        self._in_loop(self._fail, error)

    def cancel(self) -> None:
        """As `Call.cancel`."""
        self._in_loop(self.future.cancel)

    def _in_loop(self, step: Callable[..., object], *arguments: Any) -> None:
        if asyncio._get_running_loop() is self.loop:
            step(*arguments)
            return
        with contextlib.suppress(RuntimeError):  # closed: nobody waits any more
            self.loop.call_soon_threadsafe(step, *arguments)

    def _succeed(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
