"""`Loop`: the event loop, the part of it that runs once per loop or once per connection.

The native core comes first in the method resolution order and has whatever runs per callback, per
event or per packet. Behind it stands CPython's own selector loop, so that everything cold (address
resolution order, happy eyeballs, handshakes of TLS, subprocesses, the texts of errors, and what
future CPythons add) is CPython's maintained code, run on our readiness.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import types
from asyncio import base_events, constants
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar

from rondel import cpython, forks, reports
from rondel._rondel import Acceptor, ForeignTimer
from rondel.cancellation import CancellableCalls
from rondel.watched import WatchedDescriptors

if TYPE_CHECKING:
    from typing import TypeVarTuple

    from rondel.executors import ThreadPoolExecutor
    from rondel.executors.processes.drivers import LoopDriver
    from rondel.transport import ReadPipeTransport, StreamTransport, WritePipeTransport

    _Ts = TypeVarTuple("_Ts")

__all__ = ["Loop"]

forks.register()

RESOLVERS = 8
"""Threads of a loop that resolve names, at most."""


class Loop(CancellableCalls):
    """An asyncio event loop on Rondel's engine.

    Everything in asyncio's "Event Loop" chapter is here, with its behaviour and its errors; beyond
    it, `driver` says what the loop parks in, and `spin` for how long it looks before it sleeps.
    """

    default_spin: ClassVar[bool | float] = False
    """What ``spin=None`` means. ``python -m rondel --spin`` sets it; a subclass may."""

    def __init__(self, *, spin: bool | float | None = None) -> None:
        """Make a loop that spins for up to `spin` seconds before it sleeps.

        A loop that spins looks for what arrives again and again, with the GIL released, instead
        of sleeping at once. Where the answer is a matter of microseconds (one connection with
        one message at a time, a thread that hands over one result after the other), this saves
        the time that the kernel takes to wake a sleeper, at the price of the CPU time spent
        looking. While most waits turn out to be longer than that, the loop does not spin.

        True is 50 microseconds; False, which is also `default_spin`, is none. Raises ValueError
        for what is not a finite number of seconds, zero or more; OSError if the system is out of
        descriptors or memory.
        """
        super().__init__(WatchedDescriptors(self))
        wanted = self.default_spin if spin is None else spin
        if wanted is not False:
            try:
                self._set_native_spin(wanted)
            except BaseException:
                self.close()
                raise
        self._drivers: dict[LoopDriver, None] = {}  # of the process pools that it drives

    # Running

    def run_forever(self) -> None:
        """Run until `stop()` is called."""
        # Outside the try: CPython's cleanup would otherwise undo the set-up of the loop that is
        # running already, and has been left alone.
        self._check_closed()
        self._check_running()
        try:
            self._run_forever_setup()
            self._run_turns()
        finally:
            for driver in tuple(self._drivers):
                driver.loop_stops()
            if not self._signal_handlers:
                # Handlers keep the pipe between runs, as they do in asyncio.
                self._stop_receiving_signals(False)
            self._run_forever_cleanup()

    def set_debug(self, enabled: bool) -> None:
        """Switch debug mode on or off, also while the loop runs."""
        if enabled:
            from rondel import debug  # noqa: F401 - which native code is to find without delay
        self._set_native_debug(bool(enabled))
        super().set_debug(enabled)

    def set_task_factory(self, factory: Any) -> None:
        """Have `factory` make this loop's tasks; None for its own."""
        super().set_task_factory(factory)
        self._set_native_task_factory(factory is not None)

    # Handles that are not native: those of debug mode, of signal handlers, and anybody's own

    def _add_callback(self, handle: asyncio.Handle) -> None:
        """Append somebody's handle to the ready queue; signal handlers come this way."""
        if not handle.cancelled():
            self._push_foreign(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        timer = getattr(handle, "timer", None)  # of those in debug mode
        if isinstance(timer, ForeignTimer):
            self._cancel_foreign_timer(timer)

    # Signals

    _ssock = None  # asyncio's other end of the pipe; ours is native

    def _make_self_pipe(self) -> None:
        # The engine has its own wake-up; only signals still come through a pipe.
        self._watch_signal_pipe()
        # `add_signal_handler` asks it for its number, and installs that.
        self._csock = types.SimpleNamespace(fileno=self._signal_pipe_end)
        self._internal_fds += 1

    def _close_self_pipe(self) -> None:
        # Before the descriptor is free for somebody else: whatever interrupted a run's end, or the
        # adding of a handler.
        self._stop_receiving_signals(True)
        self._csock = None
        self._internal_fds -= 1

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Have `callback` called when a signal arrives. Raises as asyncio's loop does."""
        try:
            super().add_signal_handler(sig, callback, *args)
        except BaseException:
            # It has taken the pipe off, which a run that is under way needs.
            if not self._signal_handlers:
                self._signals_taken_away()
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove the handler of a signal; False if it has none."""
        removed = super().remove_signal_handler(sig)
        if removed and not self._signal_handlers:
            self._signals_taken_away()
        return removed

    # Executors

    _resolver: ThreadPoolExecutor | None = None

    def _begin_default_executor(self) -> ThreadPoolExecutor:
        from rondel.executors import ThreadPoolExecutor

        executor = ThreadPoolExecutor(thread_name_prefix="asyncio", spin=self.spin)
        self._default_executor = executor
        return executor

    def _in_resolver(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Call a function in the threads for names, which wait for no work of anybody else's."""
        self._check_closed()
        self._check_default_executor()  # type: ignore[attr-defined]
        if self._resolver is None:
            from rondel.executors import ThreadPoolExecutor

            self._resolver = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="asyncio-resolver")
        return self.run_in_executor(self._resolver, function, *arguments)

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name that asyncio has
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """Return what `socket.getaddrinfo()` does, which a thread of the resolver's own calls."""
        # asyncio's `socket`, which tests and tools replace.
        inner = base_events.socket.getaddrinfo  # type: ignore[attr-defined]
        in_debug = self._getaddrinfo_debug  # type: ignore[attr-defined]
        function = in_debug if self.get_debug() else inner
        return await self._in_resolver(function, host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """Return what `socket.getnameinfo()` does, which a thread of the resolver's own calls."""
        inner = base_events.socket.getnameinfo  # type: ignore[attr-defined]
        return await self._in_resolver(inner, sockaddr, flags)

    async def shutdown_default_executor(self, *timeout: Any, **named: Any) -> None:
        """Wait for the threads of the default executor, and for those that resolve names."""
        if self._default_executor is None:
            self._default_executor = self._resolver
        await super().shutdown_default_executor(*timeout, **named)

    def _do_shutdown(self, future: asyncio.Future[None]) -> None:
        if self._resolver is not None:
            self._resolver.shutdown(wait=True)
        inherited: Any = super()  # in which no type checker sees what is private
        inherited._do_shutdown(future)

    def close(self) -> None:
        """Close the loop, which must not run; what threads of its own still do is not awaited."""
        super().close()
        resolver, self._resolver = self._resolver, None
        if resolver is not None:
            resolver.shutdown(wait=False)

    # Connections

    @property
    def _transports(self) -> Any:
        from rondel.by_descriptor import TransportsByDescriptor  # where native code has not looked

        return TransportsByDescriptor(self)

    @_transports.setter
    def _transports(self, transports: Any) -> None:
        # asyncio begins with an empty dictionary.
        for fd, transport in transports.items():
            self._set_transport_of(fd, transport)

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        context: Context | None = None,
    ) -> StreamTransport:
        from rondel.transport import StreamTransport  # as for the others: not every program does

        self._ensure_fd_no_transport(sock)
        return StreamTransport(self, sock, protocol, waiter, extra, server, context)

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.DatagramTransport:
        from rondel.transport import DatagramTransport

        # A socket of another class may send and receive in its own way.
        if type(sock) is not socket.socket or not DatagramTransport._supports(sock.family):
            made = super()._make_datagram_transport(sock, protocol, address, waiter, extra)
        else:
            self._ensure_fd_no_transport(sock)
            made = DatagramTransport(self, sock, protocol, address, waiter, extra)
        transport: asyncio.DatagramTransport = made
        return transport

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> ReadPipeTransport:
        from rondel.transport import ReadPipeTransport

        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> WritePipeTransport:
        from rondel.transport import WritePipeTransport

        return WritePipeTransport(self, pipe, protocol, waiter, extra)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        context: Context | None = None,
        **call_connection_made: bool,
    ) -> asyncio.Transport:
        from rondel.tls import SSLProtocol
        from rondel.transport import StreamTransport

        self._ensure_fd_no_transport(rawsock)
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            **call_connection_made,
        )
        StreamTransport(self, rawsock, tls, None, extra, server, context)
        transport: asyncio.Transport = tls._app_transport
        return transport

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Have a connection speak TLS from here on; return the transport to write to.

        Raises TypeError for what is no context, or a transport that cannot be upgraded; what a
        handshake raises that fails, and the connection is closed then.
        """
        from rondel.tls import SSLProtocol

        if not isinstance(sslcontext, ssl.SSLContext):
            expected = "sslcontext is expected to be an instance of ssl.SSLContext"
            raise TypeError(f"{expected}, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        shaken = self.create_future()
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            shaken,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        # The protocol hears of the connection before it hears of data.
        transport.pause_reading()
        if server_side:
            tls._take_from_reader_of(protocol)
        transport.set_protocol(tls)
        steps = (
            self.call_soon(tls.connection_made, transport),
            self.call_soon(transport.resume_reading),
        )
        try:
            await shaken
        except BaseException:
            transport.close()
            for step in steps:
                step.cancel()
            raise
        return tls._app_transport

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: ssl.SSLContext | None = None,
        server: asyncio.Server | None = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Context | None = None,
    ) -> None:
        cpython.show_clients(self, server)
        if sslcontext is None:
            Acceptor(self, sock, protocol_factory, server, backlog, context)
        else:
            # Which a first connection may no longer find: it takes the last descriptor, or there
            # has been a chroot.
            from rondel import tls, transport  # noqa: F401

            # A handshake costs a thousand times what accepting in Python does.
            super()._start_serving(
                protocol_factory,
                sock,
                sslcontext,
                server,
                backlog,
                ssl_handshake_timeout,
                ssl_shutdown_timeout,
                # A Python gives it that takes it: 3.15 was the first.
                *(() if context is None else (context,)),
            )

    async def _make_subprocess_transport(
        self, *args: Any, **options: Any
    ) -> asyncio.SubprocessTransport:
        from rondel import children  # which few programs start

        if children.can_be_watched():
            return await children.start(self, *args, **options)
        transport: asyncio.SubprocessTransport
        transport = await super()._make_subprocess_transport(*args, **options)
        return transport

    # What native code calls when something begins, is over, or has failed

    _attach_to_server = staticmethod(cpython.attach_to_server)
    _detach_from_server = staticmethod(cpython.detach_from_server)
    _set_result_unless_cancelled = staticmethod(cpython.set_none_unless_cancelled)
    _callback_failed = reports.callback_failed
    _callback_was_slow = staticmethod(reports.callback_was_slow)
    _stray_exception = reports.stray_exception
    _transport_failed = reports.transport_failed
    _report_failure = reports.report_failure
    _connection_failed = reports.connection_failed
    _accept_failed = reports.accept_failed
