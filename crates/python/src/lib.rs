//! The Python door of Rondel: the native half of `import rondel`.
//!
//! This file is the table of contents of the module `rondel._rondel`. The placement rule: native
//! if it runs per callback, per packet or per task step; Python (`python/rondel`) if it runs per
//! connection or per loop.

// Python calls methods on an instance, whether they look at it or not.
#![allow(clippy::unused_self)]

use pyo3::prelude::*;

mod callback;
mod errors;
mod event_loop;
mod ffi;
mod handle;
mod imported;
mod kernel;
mod sock_call;
mod sock_operation;
#[cfg(Py_3_14)]
mod thread_safe_handle;
mod timer_handle;
mod transport;

#[pymodule(gil_used = false)]
mod _rondel {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::event_loop::ForeignTimer;
    #[pymodule_export]
    use crate::event_loop::LoopCore;
    #[pymodule_export]
    use crate::handle::Handle;
    #[pymodule_export]
    use crate::kernel::kernel_features;
    #[pymodule_export]
    use crate::sock_call::SockCall;
    #[cfg(Py_3_14)]
    #[pymodule_export]
    use crate::thread_safe_handle::ThreadSafeHandle;
    #[pymodule_export]
    use crate::timer_handle::TimerHandle;
    #[pymodule_export]
    use crate::transport::accept::Acceptor;
    #[pymodule_export]
    use crate::transport::base::BaseTransport;
    #[pymodule_export]
    use crate::transport::datagram::DatagramTransport;
    #[pymodule_export]
    use crate::transport::read_pipe::ReadPipeTransport;
    #[pymodule_export]
    use crate::transport::stream::StreamTransport;
    #[pymodule_export]
    use crate::transport::write_pipe::WritePipeTransport;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::ffi::interpreter::refuse_subinterpreters(module)
    }

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // a Python name
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
