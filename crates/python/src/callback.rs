//! What the Python door puts into the engine's queue, and how each is run.

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use rondel_engine::Ready;

use crate::event_loop::LoopCore;
use crate::executor::{ChainedCall, OffloadedCall};
use crate::ffi::owned::Owned;
use crate::ffi::prefetch;
use crate::future::Future;
use crate::handle::Handle;
use crate::sock_call::SockCall;
#[cfg(not(Py_3_14))]
use crate::synchronisation::Gathering;
use crate::synchronisation::{Timeout, elapsed};
use crate::task::{Cause, Task};
#[cfg(Py_3_14)]
use crate::thread_safe_handle::ThreadSafeHandle;
use crate::transport::accept::Acceptor;
use crate::transport::base::Step;
use crate::transport::datagram::DatagramTransport;
use crate::transport::read_pipe::ReadPipeTransport;
use crate::transport::stream::StreamTransport;
use crate::transport::write_pipe::WritePipeTransport;

/// One entry of the ready queue, one timer or one descriptor's waiter: two words, no box.
///
/// The first word says what the second refers to, and nothing else: an entry that had smaller
/// parts would be moved piece by piece, and read before the pieces have come together again.
#[derive(Clone)]
#[repr(u64)]
pub(crate) enum Callback {
    /// A handle of ours, timed or not.
    Handle(Owned<Handle>),
    /// A handle of ours that any thread may cancel while it runs.
    #[cfg(Py_3_14)]
    ThreadSafe(Owned<ThreadSafeHandle>),
    /// A task's next step.
    Step(Owned<Task>),
    /// A task whose future is done.
    WakeUp(Owned<Task>),
    /// A future that is done, with the callback to be called for that.
    Done(Owned),
    /// The time of a block of a coroutine may be up.
    Timeout(Owned<Timeout>),
    /// The time is up for who sleeps, and waits for this future.
    Elapsed(Owned),
    /// A child of a gathering future is done.
    #[cfg(not(Py_3_14))]
    Gathered(Owned<Gathering>),
    /// Somebody else's handle: whatever has `_run()` and `_cancelled`, as asyncio's have.
    Foreign(Py<PyAny>),
    /// The steps in the life of a stream transport.
    StreamStart(Py<StreamTransport>),
    StreamRead(Py<StreamTransport>),
    StreamWrite(Py<StreamTransport>),
    StreamLost(Py<StreamTransport>),
    /// The steps in the life of a datagram transport.
    DatagramStart(Py<DatagramTransport>),
    DatagramRead(Py<DatagramTransport>),
    DatagramWrite(Py<DatagramTransport>),
    DatagramLost(Py<DatagramTransport>),
    /// The steps in the life of the transport of a pipe's reading end.
    ReadPipeStart(Py<ReadPipeTransport>),
    ReadPipeRead(Py<ReadPipeTransport>),
    ReadPipeWrite(Py<ReadPipeTransport>),
    ReadPipeLost(Py<ReadPipeTransport>),
    /// The steps in the life of the transport of a pipe's writing end.
    WritePipeStart(Py<WritePipeTransport>),
    WritePipeRead(Py<WritePipeTransport>),
    WritePipeWrite(Py<WritePipeTransport>),
    WritePipeLost(Py<WritePipeTransport>),
    /// A descriptor is ready for a call that waits for it.
    Sock(Py<SockCall>),
    /// Connections wait to be accepted.
    Accept(Py<Acceptor>),
    /// A call that a thread has made for the loop.
    Offloaded(Py<OffloadedCall>),
    /// A call that somebody's executor has made for the loop.
    Chained(Py<ChainedCall>),
    /// Signal numbers wait in the loop's signal pipe.
    Signals(Py<LoopCore>),
}

const _: () = assert!(size_of::<Option<Ready<Callback>>>() == 2 * size_of::<usize>());

impl Callback {
    /// Runs it. What it raises has been reported when this returns.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which end the run.
    #[inline]
    pub(crate) fn run(&self, core: &Bound<'_, LoopCore>) -> PyResult<()> {
        let py = core.py();
        match self {
            Self::Step(task) => return Task::run(core, &task.bind(py), Cause::Scheduled),
            Self::WakeUp(task) => return Task::run(core, &task.bind(py), Cause::Woken),
            _ => core.get().current_task().leave(core)?,
        }
        match self {
            Self::Step(_) | Self::WakeUp(_) => Ok(()),
            Self::Handle(handle) => Handle::run(&handle.bind(py)),
            #[cfg(Py_3_14)]
            Self::ThreadSafe(handle) => ThreadSafeHandle::run(&handle.bind(py)),
            Self::Done(future) => Future::run_scheduled(core, &future.bind(py)),
            Self::Timeout(timeout) => Timeout::due(core, &timeout.bind(py)),
            Self::Elapsed(future) => elapsed(core, &future.bind(py)),
            #[cfg(not(Py_3_14))]
            Self::Gathered(gathering) => Gathering::run(core, &gathering.bind(py)),
            Self::Foreign(handle) => {
                let handle = handle.bind(py);
                if handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
                    return Ok(());
                }
                handle.call_method0(intern!(py, "_run")).map(drop)
            }
            Self::StreamStart(transport) => Step::Start.run(transport.bind(py)),
            Self::StreamRead(transport) => Step::Read.run(transport.bind(py)),
            Self::StreamWrite(transport) => Step::Write.run(transport.bind(py)),
            Self::StreamLost(transport) => Step::Lost.run(transport.bind(py)),
            Self::DatagramStart(transport) => Step::Start.run(transport.bind(py)),
            Self::DatagramRead(transport) => Step::Read.run(transport.bind(py)),
            Self::DatagramWrite(transport) => Step::Write.run(transport.bind(py)),
            Self::DatagramLost(transport) => Step::Lost.run(transport.bind(py)),
            Self::ReadPipeStart(transport) => Step::Start.run(transport.bind(py)),
            Self::ReadPipeRead(transport) => Step::Read.run(transport.bind(py)),
            Self::ReadPipeWrite(transport) => Step::Write.run(transport.bind(py)),
            Self::ReadPipeLost(transport) => Step::Lost.run(transport.bind(py)),
            Self::WritePipeStart(transport) => Step::Start.run(transport.bind(py)),
            Self::WritePipeRead(transport) => Step::Read.run(transport.bind(py)),
            Self::WritePipeWrite(transport) => Step::Write.run(transport.bind(py)),
            Self::WritePipeLost(transport) => Step::Lost.run(transport.bind(py)),
            Self::Sock(call) => SockCall::ready(call.bind(py)),
            Self::Accept(acceptor) => Acceptor::accept_ready(acceptor.bind(py)),
            Self::Offloaded(call) => OffloadedCall::arrived(call.bind(py)),
            Self::Chained(call) => ChainedCall::arrived(call.bind(py)),
            Self::Signals(core) => LoopCore::signals_arrived(core.bind(py)),
        }
    }

    /// Called when it has run, before it is given up.
    #[inline]
    pub(crate) fn ran(&self, py: Python<'_>) {
        if let Self::Handle(handle) = self {
            Handle::leave_queue(&handle.bind(py));
        }
    }

    /// Has the object behind it fetched from memory.
    #[inline]
    pub(crate) fn fetch(&self) {
        prefetch::object(self.pointer());
    }

    /// The object behind it, for reports.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.pointer().clone_ref(py).into_bound(py)
    }

    /// Whether it is this object's.
    pub(crate) fn is<T>(&self, object: &Bound<'_, T>) -> bool {
        self.pointer().is(object)
    }

    pub(crate) fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.pointer())
    }

    #[inline]
    fn pointer(&self) -> &Py<PyAny> {
        match self {
            Self::Handle(object) => object.as_py().as_any(),
            #[cfg(Py_3_14)]
            Self::ThreadSafe(object) => object.as_py().as_any(),
            Self::Step(object) | Self::WakeUp(object) => object.as_py().as_any(),
            Self::Done(object) => object.as_py(),
            Self::Timeout(object) => object.as_py().as_any(),
            Self::Elapsed(object) => object.as_py(),
            #[cfg(not(Py_3_14))]
            Self::Gathered(object) => object.as_py().as_any(),
            Self::Foreign(object) => object,
            Self::StreamStart(object)
            | Self::StreamRead(object)
            | Self::StreamWrite(object)
            | Self::StreamLost(object) => object.as_any(),
            Self::DatagramStart(object)
            | Self::DatagramRead(object)
            | Self::DatagramWrite(object)
            | Self::DatagramLost(object) => object.as_any(),
            Self::ReadPipeStart(object)
            | Self::ReadPipeRead(object)
            | Self::ReadPipeWrite(object)
            | Self::ReadPipeLost(object) => object.as_any(),
            Self::WritePipeStart(object)
            | Self::WritePipeRead(object)
            | Self::WritePipeWrite(object)
            | Self::WritePipeLost(object) => object.as_any(),
            Self::Sock(object) => object.as_any(),
            Self::Accept(object) => object.as_any(),
            Self::Offloaded(object) => object.as_any(),
            Self::Chained(object) => object.as_any(),
            Self::Signals(object) => object.as_any(),
        }
    }
}
