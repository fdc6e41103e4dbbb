"""Scheduling in debug mode, as in asyncio's "Debug Mode".

The handles are asyncio's own, which know where they were created, and so are the checks of thread
and callback.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from rondel.cancellation import CancellableCalls
from rondel.cpython import ThreadSafeHandle, forget_last_frame

if TYPE_CHECKING:
    from rondel._rondel import ForeignTimer

_Args = tuple[Any, ...]
_Callback = Callable[..., object]


class _DebugTimerHandle(events.TimerHandle):
    """asyncio's timer handle, and the timer that was set for it."""

    __slots__ = ("timer",)
    timer: ForeignTimer


# It is shown to users as what it stands for.
_DebugTimerHandle.__name__ = "TimerHandle"


class DebugScheduling(CancellableCalls):
    """A loop with the debug half of `call_soon` and its kin, called by the native core."""

    def _call_soon_in_debug(
        self, callback: _Callback, args: _Args, context: Context | None
    ) -> asyncio.Handle:
        self._check_closed()
        self._check_thread()
        self._check_callback(callback, "call_soon")
        return self._push_handle(events.Handle(callback, args, self, context))

    def _call_soon_threadsafe_in_debug(
        self, callback: _Callback, args: _Args, context: Context | None
    ) -> asyncio.Handle:
        self._check_closed()
        self._check_callback(callback, "call_soon_threadsafe")
        handle = ThreadSafeHandle(callback, args, self, context)
        if ThreadSafeHandle is not events.Handle:
            forget_last_frame(handle)  # that of its own constructor
        return self._push_handle(handle)

    def _call_at_in_debug(
        self, when: float, callback: _Callback, args: _Args, context: Context | None
    ) -> asyncio.TimerHandle:
        self._check_closed()
        self._check_thread()
        self._check_callback(callback, "call_at")
        handle = _DebugTimerHandle(when, callback, args, self, context)
        forget_last_frame(handle)
        handle.timer = self._set_foreign_timer(when, handle)
        handle._scheduled = True  # type: ignore[attr-defined]
        return handle

    def _handle_in_debug(
        self, callback: _Callback, args: _Args, context: Context | None
    ) -> asyncio.Handle:
        handle = events.Handle(callback, args, self, context)
        forget_last_frame(handle)
        return handle

    def _push_handle(self, handle: asyncio.Handle) -> asyncio.Handle:
        forget_last_frame(handle)
        self._push_foreign(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, _DebugTimerHandle):
            self._cancel_foreign_timer(handle.timer)

    def _add_callback(self, handle: asyncio.Handle) -> None:
        """Append somebody's handle to the ready queue; signal handlers come this way."""
        if not handle.cancelled():
            self._push_foreign(handle)
