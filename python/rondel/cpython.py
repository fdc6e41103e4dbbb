"""CPython's private parts that Rondel builds on, in one place, with what differs between versions.

This is the file to look at when a new Python comes.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from asyncio import base_events, events, format_helpers, futures, sslproto
from typing import TYPE_CHECKING, Any

__all__ = [
    "SSLProtocol",
    "SelectorLoop",
    "attach_to_server",
    "describe_callback",
    "describe_handle",
    "detach_from_server",
    "forget_last_frame",
    "set_none_unless_cancelled",
]

# typeshed does not describe them.
_base_events: Any = base_events
_format_helpers: Any = format_helpers
_futures: Any = futures

# typeshed's types for it are narrower than what it takes.
SSLProtocol: Any = sslproto.SSLProtocol

if TYPE_CHECKING:

    class _CPythonLoop(asyncio.SelectorEventLoop):
        """What typeshed leaves out."""

        _csock: Any
        _debug: bool
        _internal_fds: int
        _old_agen_hooks: Any
        _signal_handlers: dict[int, asyncio.Handle]
        _stopping: bool
        _thread_id: int | None

        def _asyncgen_finalizer_hook(self, agen: Any) -> None: ...
        def _asyncgen_firstiter_hook(self, agen: Any) -> None: ...
        def _check_callback(self, callback: Any, method: str) -> None: ...
        def _check_closed(self) -> None: ...
        def _check_running(self) -> None: ...
        def _check_thread(self) -> None: ...
        def _ensure_fd_no_transport(self, fd: Any) -> None: ...
        def _run_forever_cleanup(self) -> None: ...
        def _run_forever_setup(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _start_serving(self, *args: Any) -> None: ...

else:
    _CPythonLoop = asyncio.SelectorEventLoop


if sys.version_info >= (3, 13):
    SelectorLoop = _CPythonLoop
else:

    class SelectorLoop(_CPythonLoop):
        """CPython's selector loop, with what surrounds a run as methods, as 3.13 has them."""

        _old_agen_hooks: Any = None

        def _run_forever_setup(self) -> None:
            self._set_coroutine_origin_tracking(self._debug)
            self._old_agen_hooks = sys.get_asyncgen_hooks()
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)

        def _run_forever_cleanup(self) -> None:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            if self._old_agen_hooks is not None:
                sys.set_asyncgen_hooks(*self._old_agen_hooks)
                self._old_agen_hooks = None


# A server counts its connections on 3.11 and 3.12, and knows them from 3.13 on.
_SERVER_KNOWS_TRANSPORTS = "transport" in inspect.signature(_base_events.Server._attach).parameters

# The argument came in a bug-fix release: not every 3.12 and 3.13 has it.
_FORMAT_TAKES_DEBUG = (
    "debug" in inspect.signature(_format_helpers._format_callback_source).parameters
)


def attach_to_server(server: Any, transport: object) -> None:
    """Tell a server of a new connection."""
    if _SERVER_KNOWS_TRANSPORTS:
        server._attach(transport)
    else:
        server._attach()


def detach_from_server(server: Any, transport: object) -> None:
    """Tell a server that a connection is over."""
    if _SERVER_KNOWS_TRANSPORTS:
        server._detach(transport)
    else:
        server._detach()


def describe_callback(callback: Any, args: tuple[Any, ...], *, debug: bool) -> str:
    """Name a callback and where it is defined, in asyncio's words."""
    if _FORMAT_TAKES_DEBUG:
        described = _format_helpers._format_callback_source(callback, args, debug=debug)
    else:
        described = _format_helpers._format_callback_source(callback, args)
    return str(described)


def describe_handle(handle: Any) -> str:
    """Name what a handle runs: the task, if it is a step of one."""
    return str(_base_events._format_handle(handle))


def forget_last_frame(handle: Any) -> None:
    """Leave the caller's frame as the last of where a handle was created."""
    if handle._source_traceback:
        del handle._source_traceback[-1]


def set_none_unless_cancelled(future: asyncio.Future[None]) -> None:
    """Set a future's result to None, unless it is cancelled."""
    _futures._set_result_unless_cancelled(future, None)
