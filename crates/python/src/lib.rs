//! The Python door of Rondel: the native half of `import rondel`.
//!
//! This file is the table of contents of the module `rondel._rondel`. The placement rule: native
//! if it runs per callback, per packet or per task step; Python (`python/rondel`) if it runs per
//! connection or per loop.

// Python calls methods on an instance, whether they look at it or not.
#![allow(clippy::unused_self)]
// Methods of native classes have one signature, whether they can fail or not.
#![allow(clippy::unnecessary_wraps)]

use pyo3::prelude::*;

mod callback;
mod errors;
mod event_loop;
mod executor;
mod ffi;
mod future;
mod handle;
mod imported;
mod kernel;
mod sock_call;
mod sock_operation;
mod synchronisation;
mod task;
#[cfg(Py_3_14)]
mod thread_safe_handle;
mod timer_handle;
mod tls;
mod transport;

#[pymodule(gil_used = false)]
mod _rondel {
    use pyo3::prelude::*;

    use crate::ffi::native::class::add_methods;

    #[pymodule_export]
    use crate::event_loop::ForeignTimer;
    #[pymodule_export]
    use crate::event_loop::LoopCore;
    #[pymodule_export]
    use crate::executor::ChainedCall;
    #[pymodule_export]
    use crate::executor::OffloadedCall;
    #[pymodule_export]
    use crate::executor::WorkQueue;
    #[pymodule_export]
    use crate::executor::Worker;
    #[pymodule_export]
    use crate::executor::interpreter_exits;
    #[pymodule_export]
    use crate::kernel::kernel_features;
    #[pymodule_export]
    use crate::sock_call::SockCall;
    #[pymodule_export]
    use crate::tls::protocol::SslProtocol;
    #[pymodule_export]
    use crate::transport::accept::Acceptor;
    #[pymodule_export]
    use crate::transport::base::BaseTransport;
    #[pymodule_export]
    use crate::transport::clients::Clients;
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
        crate::ffi::interpreter::refuse_subinterpreters(module)?;
        crate::handle::make_class(module)?;
        crate::timer_handle::make_class(module)?;
        #[cfg(Py_3_14)]
        crate::thread_safe_handle::make_class(module)?;
        let core = module.py().get_type::<LoopCore>();
        if cfg!(not(Py_3_14)) {
            // asyncio's call graphs, which 3.14 brought, know of asyncio's own tasks and futures
            // alone; there, loops go on to make those.
            crate::future::make_iterator_class(module.py())?;
            crate::future::make_class(module)?;
            crate::task::make_class(module)?;
            add_methods(&core, crate::event_loop::task_methods())?;
        }
        crate::synchronisation::make_classes(module)?;
        add_methods(&core, crate::event_loop::methods())
    }

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // a Python name
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
