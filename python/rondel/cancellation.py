"""Calls of the loop that, cancelled at the wrong moment, would leave something that nobody has.

What they do stays CPython's code; here is what it leaves open when it is cancelled: a server that
serves and cannot be closed, a connection that has won a race and belongs to nobody, a transport
that takes no writes any more.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rondel import cpython
from rondel.cpython import SelectorLoop
from rondel.sock_calls import SockCalls

__all__ = ["CancellableCalls"]

_Factory = Callable[[], asyncio.BaseProtocol]

_connected: ContextVar[list[socket.socket] | None] = ContextVar("_connected", default=None)
"""The sockets that the running `create_connection` has connected."""


def _takes_what(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make a coroutine method look like CPython's, and complain of its arguments at the call."""
    known = cpython.parameters(original)

    def decorate(method: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def call(self: Any, *args: Any, **options: Any) -> Any:
            if not options.keys() <= known:
                original(self, *args, **options)  # raises CPython's TypeError
            return method(self, *args, **options)

        method.__name__, method.__qualname__ = original.__name__, original.__qualname__
        return cpython.mark_coroutine_function(call)

    return decorate


class CancellableCalls(SockCalls):
    """A selector loop whose calls, when they fail or are cancelled, leave nothing behind.

    A ready-made socket that the caller gave stays the caller's until a transport or a server has
    taken it over.
    """

    @_takes_what(SelectorLoop.create_connection)
    async def create_connection(  # noqa: D102 - asyncio's
        self, protocol_factory: _Factory, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        connected: list[socket.socket] = []
        token = _connected.set(connected)
        try:
            return await super().create_connection(protocol_factory, host, port, **options)
        except BaseException:
            # The winner of a race is forgotten if the cancellation comes before it is told, and
            # any socket is if the protocol factory fails. A transport keeps its own open.
            for sock in connected:
                sock.close()
            raise
        finally:
            connected.clear()
            _connected.reset(token)

    async def _connect_sock(self, *args: Any) -> Any:
        try:
            sock = await super()._connect_sock(*args)
        finally:
            # A traceback keeps this frame, which would keep the list that keeps the exception.
            del args
        connected = _connected.get()
        if connected is not None:
            connected.append(sock)
        return sock

    @_takes_what(SelectorLoop.create_server)
    async def create_server(  # noqa: D102 - asyncio's
        self,
        protocol_factory: _Factory,
        host: Any = None,
        port: Any = None,
        *,
        sock: Any = None,
        start_serving: bool = True,
        **options: Any,
    ) -> asyncio.Server:
        server = await super().create_server(
            protocol_factory, host, port, sock=sock, start_serving=False, **options
        )
        if start_serving:
            await self._serve(server, sock)
        return server

    @_takes_what(SelectorLoop.create_unix_server)
    async def create_unix_server(  # noqa: D102 - asyncio's
        self,
        protocol_factory: _Factory,
        path: Any = None,
        *,
        sock: Any = None,
        start_serving: bool = True,
        **options: Any,
    ) -> asyncio.Server:
        server = await super().create_unix_server(
            protocol_factory, path, sock=sock, start_serving=False, **options
        )
        if start_serving:
            await self._serve(server, sock)
        return server

    async def _serve(self, server: asyncio.Server, given: Any) -> None:
        """Start serving; if that fails or is cancelled nobody else can close the server."""
        fd = -1 if given is None else given.fileno()
        try:
            await server.start_serving()
        except BaseException:
            if given is None:
                server.close()
            else:
                self._remove_reader(fd)
                cpython.forget_unix_server(self, given)
            raise

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        # As in CPython, where the wait for what was written before is outside the try.
        del self._transports[transp._sock_fd]
        resume_reading = transp.is_reading()
        transp.pause_reading()
        sent = transp._make_empty_waiter()
        try:
            await sent
            return await self.sock_sendfile(transp._sock, file, offset, count, fallback=False)
        finally:
            transp._reset_empty_waiter()
            if resume_reading:
                transp.resume_reading()
            self._transports[transp._sock_fd] = transp
