//! Python objects that native code needs, imported once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// Imports `$module.$name` at the first call and keeps it.
macro_rules! imported {
    ($(#[$doc:meta])* $function:ident, $type:ty, $module:literal, $name:literal) => {
        $(#[$doc])*
        pub(crate) fn $function(py: Python<'_>) -> PyResult<&Bound<'_, $type>> {
            static CELL: PyOnceLock<Py<$type>> = PyOnceLock::new();
            CELL.import(py, $module, $name)
        }
    };
}

imported! {
    /// `asyncio.Handle`.
    handle_class, PyType, "asyncio.events", "Handle"
}
imported! {
    /// `asyncio.TimerHandle`.
    timer_handle_class, PyType, "asyncio.events", "TimerHandle"
}
#[cfg(Py_3_14)]
imported! {
    /// The class of what asyncio's `call_soon_threadsafe` returns.
    thread_safe_handle_class, PyType, "asyncio.events", "_ThreadSafeHandle"
}
#[cfg(Py_3_14)]
imported! {
    /// `threading.RLock`.
    reentrant_lock, PyAny, "threading", "RLock"
}
imported! {
    /// The class of asyncio's own stream transports: a `Transport`, and what `loop.sendfile()` and
    /// `start_tls()` ask for.
    transport_class, PyType, "asyncio.selector_events", "_SelectorSocketTransport"
}
imported! {
    /// The class of asyncio's own datagram transports, which is a `DatagramTransport`.
    datagram_transport_class, PyType, "rondel.cpython", "DatagramTransportClass"
}
imported! {
    /// The class of asyncio's own transports of reading ends.
    read_pipe_transport_class, PyType, "asyncio.unix_events", "_UnixReadPipeTransport"
}
imported! {
    /// The class of asyncio's own transports of writing ends.
    write_pipe_transport_class, PyType, "asyncio.unix_events", "_UnixWritePipeTransport"
}
imported! {
    /// `asyncio.BufferedProtocol`.
    buffered_protocol_class, PyType, "asyncio.protocols", "BufferedProtocol"
}
imported! {
    /// What `get_extra_info('socket')` returns: a socket that cannot be closed by accident.
    transport_socket_class, PyType, "asyncio.trsock", "TransportSocket"
}
imported! {
    /// `socket.socket`.
    socket_class, PyType, "socket", "socket"
}
imported! {
    /// The `asyncio` logger.
    logger, PyAny, "asyncio.log", "logger"
}
imported! {
    /// Raises `TypeError` for an `ssl.SSLSocket`.
    check_ssl_socket, PyAny, "asyncio.base_events", "_check_ssl_socket"
}
imported! {
    /// A socket's address family, as a number.
    socket_family, PyAny, "rondel.cpython", "socket_family"
}
imported! {
    /// `asyncio.constants._SendfileMode`.
    sendfile_mode, PyAny, "asyncio.constants", "_SendfileMode"
}
imported! {
    /// Our own transport as Python code completes it.
    stream_transport_class, PyType, "rondel.transport", "StreamTransport"
}
