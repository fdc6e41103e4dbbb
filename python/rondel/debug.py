"""Scheduling in debug mode, as in asyncio's "Debug Mode".

The handles are asyncio's own, which know where they were created, and so are the checks of thread
and callback. Native code calls these functions; a program that is never in debug mode does without.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from rondel.cpython import ThreadSafeHandle, forget_last_frame

if TYPE_CHECKING:
    from rondel._rondel import ForeignTimer
    from rondel.loop import Loop

_Args = tuple[Any, ...]
_Callback = Callable[..., object]


class _DebugTimerHandle(events.TimerHandle):
    """asyncio's timer handle, and the timer that was set for it."""

    __slots__ = ("timer",)
    timer: ForeignTimer


# It is shown to users as what it stands for.
_DebugTimerHandle.__name__ = "TimerHandle"


def call_soon(
    loop: Loop, callback: _Callback, args: _Args, context: Context | None
) -> asyncio.Handle:
    """Do what `loop.call_soon` does."""
    loop._check_closed()
    loop._check_thread()
    loop._check_callback(callback, "call_soon")
    return _push(loop, events.Handle(callback, args, loop, context))


def call_soon_threadsafe(
    loop: Loop, callback: _Callback, args: _Args, context: Context | None
) -> asyncio.Handle:
    """Do what `loop.call_soon_threadsafe` does, but for waking the loop."""
    loop._check_closed()
    loop._check_callback(callback, "call_soon_threadsafe")
    handle = ThreadSafeHandle(callback, args, loop, context)
    if ThreadSafeHandle is not events.Handle:
        forget_last_frame(handle)  # that of its own constructor
    return _push(loop, handle)


def call_at(
    loop: Loop, when: float, callback: _Callback, args: _Args, context: Context | None
) -> asyncio.TimerHandle:
    """Do what `loop.call_at` does."""
    loop._check_closed()
    loop._check_thread()
    loop._check_callback(callback, "call_at")
    handle = _DebugTimerHandle(when, callback, args, loop, context)
    forget_last_frame(handle)
    handle.timer = loop._set_foreign_timer(when, handle)
    handle._scheduled = True  # type: ignore[attr-defined]
    return handle


def watching_handle(
    loop: Loop, callback: _Callback, args: _Args, context: Context | None
) -> asyncio.Handle:
    """Return the handle of a callback that `loop.add_reader` or `loop.add_writer` was given."""
    handle = events.Handle(callback, args, loop, context)
    forget_last_frame(handle)
    return handle


def _push(loop: Loop, handle: asyncio.Handle) -> asyncio.Handle:
    forget_last_frame(handle)
    loop._push_foreign(handle)
    return handle
