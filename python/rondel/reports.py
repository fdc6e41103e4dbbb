"""What a loop says when something has failed: asyncio's words, for its exception handler and log.

These are methods of `rondel.Loop`, called by native code.
"""

from __future__ import annotations

import errno
import socket
from asyncio import base_events, constants, events, selector_events, trsock
from contextvars import Context
from typing import TYPE_CHECKING, Any

from rondel import cpython

if TYPE_CHECKING:
    from rondel.loop import Loop

# Each message goes by the logger of the module that has it in asyncio, where users replace it.
_base_events: Any = base_events
_selector_events: Any = selector_events

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def callback_failed(
    self: Loop,
    handle: events.Handle | None,
    callback: Any,
    args: tuple[Any, ...],
    error: BaseException,
) -> None:
    """Report what a callback raised; a protocol's callback has no handle, and is given one."""
    try:
        source = cpython.describe_callback(callback, args, debug=self.get_debug())
    except Exception:  # noqa: BLE001 - a broken repr must not hide what is reported
        source = object.__repr__(callback)
    self.call_exception_handler(
        {
            "message": f"Exception in callback {source}",
            "exception": error,
            "handle": handle or events.Handle(callback, args, self, None),
        }
    )


def callback_was_slow(ran: Any, seconds: float) -> None:
    """Warn of a callback that kept the loop busy; debug mode only."""
    what = cpython.describe_handle(ran) if hasattr(ran, "_callback") else str(ran)
    _base_events.logger.warning("Executing %s took %.3f seconds", what, seconds)


def stray_exception(self: Loop, error: BaseException) -> None:
    """Report what was raised outside any callback; the loop goes on."""
    self.call_exception_handler({"message": "Exception in the event loop", "exception": error})


def transport_failed(
    self: Loop, transport: Any, protocol: Any, error: BaseException, message: str
) -> None:
    """Report what ends a connection; the network's own errors are not worth it."""
    if not isinstance(error, OSError):
        report_failure(self, transport, protocol, error, message)
    elif self.get_debug():
        _selector_events.logger.debug("%r: %s", transport, message, exc_info=error)


def report_failure(
    self: Loop, transport: Any, protocol: Any, error: BaseException, message: str
) -> None:
    """Report an error of a transport or of its protocol."""
    self.call_exception_handler(
        {
            "message": message,
            "exception": error,
            "transport": transport,
            "protocol": protocol,
        }
    )


def connection_failed(self: Loop, error: BaseException) -> None:
    """Report that no transport could be made for an accepted connection; debug mode only."""
    if self.get_debug():
        self.call_exception_handler(
            {
                "message": "Error on transport creation for incoming connection",
                "exception": error,
            }
        )


def accept_failed(
    self: Loop,
    error: OSError,
    sock: socket.socket,
    serving: tuple[Any, Any, int, Context | None],
) -> None:
    """Report a failed `accept`, and stop for a while if the system is out of something."""
    if error.errno not in _OUT_OF_RESOURCES:
        self.call_exception_handler({"message": "Exception in accept", "exception": error})
        return
    self.call_exception_handler(
        {
            "message": "socket.accept() out of system resource",
            "exception": error,
            "socket": trsock.TransportSocket(sock),
        }
    )
    self._remove_reader(sock.fileno())
    protocol_factory, server, backlog, context = serving

    def resume() -> None:
        if sock.fileno() != -1:
            self._start_serving(protocol_factory, sock, None, server, backlog, context=context)

    self.call_later(constants.ACCEPT_RETRY_DELAY, resume)
