"""CPython's private parts that Rondel builds on, in one place, with what differs between versions.

This is the file to look at when a new Python comes.
"""

from __future__ import annotations

import _socket
import asyncio
import inspect
import sys
import threading
import warnings
from asyncio import (
    base_events,
    coroutines,
    events,
    format_helpers,
    futures,
    selector_events,
    sslproto,
    tasks,
    unix_events,
)
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from rondel._rondel import Clients

__all__ = [
    "REAPED_ELSEWHERE_MESSAGE",
    "SSL_FLUSHING",
    "SSL_WRAPPED",
    "DatagramTransportClass",
    "SSLProtocol",
    "SSLTransport",
    "SelectorLoop",
    "ThreadSafeHandle",
    "UnixSubprocessTransport",
    "attach_to_server",
    "child_watcher_is_chosen",
    "describe_callback",
    "describe_handle",
    "detach_from_server",
    "forget_last_frame",
    "forget_unix_server",
    "mark_coroutine_function",
    "parameters",
    "set_none_unless_cancelled",
    "show_clients",
    "show_listed_tasks",
    "socket_family",
]

# typeshed does not describe them.
_base_events: Any = base_events
_coroutines: Any = coroutines
_format_helpers: Any = format_helpers
_futures: Any = futures
_selector_events: Any = selector_events
_tasks: Any = tasks

# What `call_soon_threadsafe` returns: from 3.14 on a handle that any thread may cancel.
ThreadSafeHandle: Any = getattr(events, "_ThreadSafeHandle", events.Handle)

# typeshed's types for it are narrower than what it takes.
SSLProtocol: Any = sslproto.SSLProtocol
SSLTransport: Any = sslproto._SSLProtocolTransport
SSL_WRAPPED: Any = sslproto.SSLProtocolState.WRAPPED
SSL_FLUSHING: Any = sslproto.SSLProtocolState.FLUSHING

DatagramTransportClass: type = _selector_events._SelectorDatagramTransport
if not issubclass(DatagramTransportClass, asyncio.DatagramTransport):
    # What it became in 3.12.
    DatagramTransportClass = type(
        DatagramTransportClass.__name__,
        (DatagramTransportClass, asyncio.DatagramTransport),
        {"__slots__": ()},
    )

# The number, and not the member of an enumeration that `socket.socket` makes of it.
socket_family = _socket.socket.family.__get__

if TYPE_CHECKING:

    class _CPythonLoop(asyncio.SelectorEventLoop):
        """What typeshed leaves out."""

        _csock: Any
        _debug: bool
        _default_executor: Any
        _internal_fds: int
        _old_agen_hooks: Any
        _signal_handlers: dict[int, asyncio.Handle]
        _stopping: bool
        _thread_id: int | None
        _transports: Any

        def _add_reader(self, fd: Any, callback: Any, *args: Any) -> asyncio.Handle: ...
        def _asyncgen_finalizer_hook(self, agen: Any) -> None: ...
        def _asyncgen_firstiter_hook(self, agen: Any) -> None: ...
        def _check_callback(self, callback: Any, method: str) -> None: ...
        def _check_closed(self) -> None: ...
        def _check_running(self) -> None: ...
        def _check_thread(self) -> None: ...
        async def _connect_sock(self, *args: Any) -> Any: ...
        def _ensure_fd_no_transport(self, fd: Any) -> None: ...
        def _make_datagram_transport(self, *args: Any) -> Any: ...
        def _remove_reader(self, fd: Any) -> bool: ...
        def _make_subprocess_transport(self, *args: Any, **options: Any) -> Any: ...
        def _run_forever_cleanup(self) -> None: ...
        def _run_forever_setup(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _start_serving(self, *args: Any) -> None: ...

    class UnixSubprocessTransport(asyncio.SubprocessTransport):
        """What there is of it in every version."""

        _closed: bool
        _loop: Any
        _pending_calls: Any
        _pipes: dict[int, Any]
        _proc: Any
        _protocol: Any

        def __init__(self, loop: Any, *args: Any, **options: Any) -> None: ...
        def _check_proc(self) -> None: ...
        async def _connect_pipes(self, waiter: Any) -> None: ...
        def _process_exited(self, returncode: int) -> None: ...
        def _try_finish(self) -> None: ...
        async def _wait(self) -> int: ...

else:
    _CPythonLoop = asyncio.SelectorEventLoop
    UnixSubprocessTransport = unix_events._UnixSubprocessTransport


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

        def _do_shutdown(self, future: asyncio.Future[None]) -> None:
            # As 3.13 has it: before, a cancelled wait ended in an InvalidStateError.
            try:
                self._default_executor.shutdown(wait=True)
                if not self.is_closed():
                    self.call_soon_threadsafe(set_none_unless_cancelled, future)
            except Exception as error:  # noqa: BLE001 - it is handed over
                if not self.is_closed() and not future.cancelled():
                    self.call_soon_threadsafe(future.set_exception, error)


def parameters(function: Any) -> frozenset[str]:
    """Return the names of a Python function's parameters, at once, unlike `inspect.signature`.

    Of what has been wrapped by `functools.wraps`, those of the function within.
    """
    code = inspect.unwrap(function).__code__
    return frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


# A server counts its connections on 3.11 and 3.12, and knows them from 3.13 on.
_SERVER_KNOWS_TRANSPORTS = "transport" in parameters(_base_events.Server._attach)

# The argument came in a bug-fix release: not every 3.12 and 3.13 has it.
_FORMAT_TAKES_DEBUG = "debug" in parameters(_format_helpers._format_callback_source)


def show_clients(loop: Any, server: Any) -> None:
    """Have a server find its connections, of which it has a weak set, where Rondel has them."""
    clients = getattr(server, "_clients", None)
    if type(clients) is WeakSet:
        server._clients = Clients(loop, clients)


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


def forget_unix_server(loop: Any, sock: object) -> None:
    """Leave the path of a unix socket that is not served after all to its owner."""
    # Kept from 3.13 on, when servers began to remove the paths of their sockets.
    getattr(loop, "_unix_server_sockets", {}).pop(sock, None)


def set_none_unless_cancelled(future: asyncio.Future[None]) -> None:
    """Set a future's result to None, unless it is cancelled."""
    _futures._set_result_unless_cancelled(future, None)


def mark_coroutine_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function that returns a coroutine count as a coroutine function."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    marked: Any = function
    marked._is_coroutine = _coroutines._is_coroutine
    return function


if sys.version_info < (3, 14):
    from rondel._rondel import listed_tasks, unlist_task

    class _ScheduledTasks(WeakSet[Any]):
        """asyncio's set of tasks with Rondel's own, which are not in it but in a native list."""

        def __iter__(self) -> Iterator[Any]:
            return iter([*listed_tasks(), *super().__iter__()])

        def __len__(self) -> int:
            return len(listed_tasks()) + super().__len__()

        def __contains__(self, task: object) -> bool:
            return super().__contains__(task) or any(task is listed for listed in listed_tasks())

        def discard(self, task: object) -> None:
            unlist_task(task)
            super().discard(task)


def show_listed_tasks() -> None:
    """Have `asyncio.all_tasks()` find the tasks that are in Rondel's list.

    It iterates over a set that others, `_asyncio` among them, have references to: that very set is
    taught to show them.
    """
    if sys.version_info < (3, 14):
        scheduled = _tasks._scheduled_tasks if sys.version_info >= (3, 12) else _tasks._all_tasks
        scheduled.__class__ = _ScheduledTasks


# What asyncio's usual way of watching children logs; before 3.12 that was a thread.
REAPED_ELSEWHERE_MESSAGE = (
    "child process pid %d exit status already read:  will report returncode 255"
    if sys.version_info >= (3, 12)
    else "Unknown child process pid %d, will report returncode 255"
)


def child_watcher_is_chosen() -> bool:
    """Whether somebody has set a child watcher other than the one that asyncio makes by itself.

    Only the policies of Python 3.11 to 3.13 have child watchers.
    """
    if sys.version_info >= (3, 14):
        return False
    policy: Any = asyncio.get_event_loop_policy()
    usual: Any = unix_events.DefaultEventLoopPolicy
    if getattr(type(policy), "get_child_watcher", None) is usual.get_child_watcher:
        watcher = policy._watcher  # asking for it would make one
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                watcher = policy.get_child_watcher()
            except NotImplementedError:
                watcher = None
    by_itself = "PidfdChildWatcher" if sys.version_info >= (3, 12) else "ThreadedChildWatcher"
    return watcher is not None and type(watcher) is not getattr(unix_events, by_itself)
