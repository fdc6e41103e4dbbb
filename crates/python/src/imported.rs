//! Python objects that native code needs, imported once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
#[cfg(not(Py_3_14))]
use pyo3::types::PyDict;
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
    /// `ssl.SSLObject`.
    ssl_object_class, PyType, "ssl", "SSLObject"
}
imported! {
    /// The errors by which a TLS engine asks for more from the peer.
    ssl_again_errors, PyAny, "asyncio.sslproto", "SSLAgainErrors"
}
imported! {
    /// That a TLS connection exchanges data.
    ssl_wrapped, PyAny, "rondel.cpython", "SSL_WRAPPED"
}
imported! {
    /// That a TLS connection is about to end, and still reads.
    ssl_flushing, PyAny, "rondel.cpython", "SSL_FLUSHING"
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
    /// `signal.set_wakeup_fd`.
    set_wakeup_fd, PyAny, "signal", "set_wakeup_fd"
}
imported! {
    /// `call_soon` in debug mode.
    call_soon_in_debug, PyAny, "rondel.debug", "call_soon"
}
imported! {
    /// `call_soon_threadsafe` in debug mode.
    call_soon_threadsafe_in_debug, PyAny, "rondel.debug", "call_soon_threadsafe"
}
imported! {
    /// `call_at` in debug mode.
    call_at_in_debug, PyAny, "rondel.debug", "call_at"
}
imported! {
    /// Makes the handle of a watch in debug mode.
    watching_handle_in_debug, PyAny, "rondel.debug", "watching_handle"
}
imported! {
    /// Our own transport as Python code completes it.
    stream_transport_class, PyType, "rondel.transport", "StreamTransport"
}
imported! {
    /// Our own executor of threads.
    thread_pool_executor, PyType, "rondel.executors.threads", "ThreadPoolExecutor"
}
imported! {
    /// `concurrent.futures.ThreadPoolExecutor`.
    stdlib_thread_pool, PyType, "rondel.executors.stdlib", "ThreadPoolExecutor"
}
imported! {
    /// Puts a call into the queue of the standard library's pool.
    put_into_stdlib_pool, PyAny, "rondel.executors.stdlib", "put"
}
imported! {
    /// `concurrent.futures.Future`.
    concurrent_future_class, PyType, "concurrent.futures", "Future"
}
imported! {
    /// What an executor raises whose threads cannot be set up.
    broken_thread_pool, PyType, "concurrent.futures.thread", "BrokenThreadPool"
}
imported! {
    /// `asyncio.wrap_future`.
    wrap_future, PyAny, "asyncio.futures", "wrap_future"
}
imported! {
    /// Makes asyncio's exceptions of those of `concurrent.futures`.
    convert_future_exception, PyAny, "asyncio.futures", "_convert_future_exc"
}
imported! {
    /// `asyncio.Future`.
    future_class, PyType, "asyncio.futures", "Future"
}
imported! {
    /// `asyncio.Task`.
    task_class, PyType, "asyncio.tasks", "Task"
}
imported! {
    /// How asyncio shows a task.
    task_repr, PyAny, "asyncio.base_tasks", "_task_repr"
}
imported! {
    /// The frames of a task.
    task_stack, PyAny, "asyncio.base_tasks", "_task_get_stack"
}
imported! {
    /// Prints the frames of a task.
    print_task_stack, PyAny, "asyncio.base_tasks", "_task_print_stack"
}
#[cfg(not(Py_GIL_DISABLED))]
imported! {
    /// Has `asyncio.all_tasks()` find those of our tasks that are in a list of their own.
    show_listed_tasks, PyAny, "rondel.cpython", "show_listed_tasks"
}
#[cfg(Py_GIL_DISABLED)]
imported! {
    /// Puts a task into asyncio's set.
    register_task, PyAny, "asyncio.tasks", "_register_task"
}
#[cfg(Py_GIL_DISABLED)]
imported! {
    /// Takes a task out of asyncio's set.
    unregister_task, PyAny, "asyncio.tasks", "_unregister_task"
}
imported! {
    /// `asyncio.iscoroutine`.
    iscoroutine, PyAny, "asyncio.coroutines", "iscoroutine"
}
imported! {
    /// The loop of anybody's future.
    get_loop, PyAny, "asyncio.futures", "_get_loop"
}
imported! {
    /// `asyncio.BaseEventLoop`.
    base_loop_class, PyType, "asyncio.base_events", "BaseEventLoop"
}
#[cfg(not(Py_3_14))]
imported! {
    /// The running task of each loop, by loop.
    current_tasks, PyDict, "asyncio.tasks", "_current_tasks"
}
#[cfg(Py_3_14)]
imported! {
    /// Makes a task a loop's current one.
    enter_task, PyAny, "asyncio.tasks", "_enter_task"
}
#[cfg(Py_3_14)]
imported! {
    /// Ends what `enter_task` began.
    leave_task, PyAny, "asyncio.tasks", "_leave_task"
}
#[cfg(Py_3_14)]
imported! {
    /// Puts a task in the place of a loop's current one.
    swap_current_task, PyAny, "asyncio.tasks", "_swap_current_task"
}
imported! {
    /// Ends a future, unless it was cancelled.
    set_result_unless_cancelled, PyAny, "asyncio.futures", "_set_result_unless_cancelled"
}
#[cfg(Py_3_12)]
#[cfg(not(Py_3_14))]
imported! {
    /// `asyncio.ensure_future`.
    ensure_future, PyAny, "asyncio.tasks", "ensure_future"
}
#[cfg(not(Py_3_12))]
imported! {
    /// What `asyncio.gather` makes futures with.
    ensure_future, PyAny, "asyncio.tasks", "_ensure_future"
}
imported! {
    /// How asyncio shows a future.
    future_repr, PyAny, "asyncio.base_futures", "_future_repr"
}
imported! {
    /// `asyncio.CancelledError`.
    cancelled_error, PyType, "asyncio.exceptions", "CancelledError"
}
imported! {
    /// `asyncio.InvalidStateError`.
    invalid_state_error, PyType, "asyncio.exceptions", "InvalidStateError"
}
imported! {
    /// `traceback.extract_stack`.
    extract_stack, PyAny, "traceback", "extract_stack"
}
imported! {
    /// `asyncio.Lock`.
    lock_class, PyType, "asyncio.locks", "Lock"
}
imported! {
    /// `asyncio.Event`.
    event_class, PyType, "asyncio.locks", "Event"
}
imported! {
    /// `asyncio.Queue`.
    queue_class, PyType, "asyncio.queues", "Queue"
}
imported! {
    /// `collections.deque`.
    deque, PyType, "collections", "deque"
}
imported! {
    /// `math.isnan`.
    isnan, PyAny, "math", "isnan"
}
imported! {
    /// `math.ceil`.
    ceil, PyAny, "math", "ceil"
}
imported! {
    /// `asyncio.Timeout`.
    timeout_class, PyType, "asyncio.timeouts", "Timeout"
}
imported! {
    /// The running loop; raises `RuntimeError` if there is none.
    running_loop, PyAny, "asyncio.events", "get_running_loop"
}
#[cfg(Py_3_14)]
imported! {
    /// The running task of a loop.
    current_task, PyAny, "asyncio.tasks", "current_task"
}
imported! {
    /// `ExceptionGroup`.
    exception_group, PyType, "builtins", "ExceptionGroup"
}
imported! {
    /// `round`.
    round, PyAny, "builtins", "round"
}
imported! {
    /// The running loop, or None.
    running_loop_or_none, PyAny, "asyncio.events", "_get_running_loop"
}
imported! {
    /// `types.GenericAlias`.
    generic_alias, PyType, "types", "GenericAlias"
}
#[cfg(Py_3_12)]
imported! {
    /// `asyncio.get_event_loop`.
    get_event_loop, PyAny, "asyncio.events", "get_event_loop"
}
#[cfg(not(Py_3_12))]
imported! {
    /// What asyncio's own futures ask for their loop.
    get_event_loop, PyAny, "asyncio.events", "_get_event_loop"
}

/// The loop of a future that is given none.
///
/// # Errors
/// `RuntimeError` if there is none.
pub(crate) fn current_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    if cfg!(Py_3_12) {
        get_event_loop(py)?.call0()
    } else {
        // The warning is for the caller's line: no frame of Python's lies between.
        get_event_loop(py)?.call1((2,))
    }
}

/// `asyncio.InvalidStateError(message)`.
pub(crate) fn invalid_state(py: Python<'_>, message: &str) -> PyErr {
    match invalid_state_error(py).and_then(|class| class.call1((message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(failed) => failed,
    }
}
