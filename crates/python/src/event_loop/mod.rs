//! The native half of `rondel.Loop`: what happens per callback, per event and per turn.
//!
//! The other half is Python (`python/rondel/loop.py`): it subclasses CPython's own selector loop,
//! and comes into play once per loop or once per connection. Where native code needs it, it calls
//! a method whose name begins with an underscore.

mod executor;
mod overrides;
mod queued;
mod run;
mod schedule;
mod signals;
mod sock;
mod tasks;
mod transports;
mod watch;

pub(crate) use overrides::Overridable;
pub(crate) use schedule::{ForeignTimer, instant, methods, seconds};
pub(crate) use tasks::methods as task_methods;
pub(crate) use watch::descriptor;

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::PyVisit;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::{PyBool, PyDict, PyTuple, PyType};
use rondel_engine::clock::Clock;
use rondel_engine::signal::SignalPipe;
use rondel_engine::spin::DEFAULT_SPIN;
use rondel_engine::{Direction, EventLoop, Notify, Ready, TimerKey};

use crate::callback::Callback;
use crate::errors::{loop_is_closed, os_error};
use crate::ffi::cell::AttachedCell;
use crate::task::CurrentTask;
use crate::transport::receive::ReceiveBuffer;
use crate::transport::stream::StreamTransport;
use overrides::Overrides;
use signals::SignalWakeUp;
use transports::Transports;

/// When the transports of a turn hold more bytes than this together, those that have run so far
/// send before the next callback: held data goes cold, and memory that grows by a turn's worth and
/// shrinks again is given back to the system and faulted in anew, turn by turn.
const MOST_UNFLUSHED: usize = 64 * 1024;

/// What a loop is made of while it is open.
pub(crate) struct Open {
    engine: EventLoop<Callback>,
    signal_pipe: SignalPipe,
    /// Transports that hold unsent data of this turn.
    to_flush: Vec<Py<StreamTransport>>,
    /// Empty; has the room that the next turn's need.
    flushed: Vec<Py<StreamTransport>>,
    /// Objects, not numbers, that were given to `add_reader` or `add_writer`, by descriptor: they
    /// can be taken off the watch even after they were closed and lost their number.
    watched_objects: HashMap<RawFd, Py<PyAny>>,
    receive_buffer: Option<ReceiveBuffer>,
    /// The name of the last socket, which a server's connections have in common.
    last_sockname: Option<Py<PyTuple>>,
}

/// The native core of `rondel.Loop`.
#[pyclass(subclass, frozen, module = "rondel._rondel")]
pub(crate) struct LoopCore {
    open: AttachedCell<Option<Open>>,
    /// `loop.get_debug()`, to be read per call.
    debug: AtomicBool,
    running: AtomicBool,
    /// Whether the handles in the queue are hidden from the collector, as they are during a run.
    hides_queue: AtomicBool,
    /// About how many bytes the transports to flush hold.
    unflushed: AtomicUsize,
    signal_wake_up: SignalWakeUp,
    overrides: Overrides,
    current_task: CurrentTask,
    transports: Transports,
    /// Whether a task factory makes this loop's tasks.
    has_task_factory: AtomicBool,
}

impl LoopCore {
    /// Lends the open loop to `f`; the rules are those of [`AttachedCell::with`].
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline]
    pub(crate) fn with_open<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Open) -> R,
    ) -> PyResult<R> {
        self.open.with(py, |open| open.as_mut().map(f)).ok_or_else(loop_is_closed)
    }

    /// Lends the engine of the open loop to `f`.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline]
    pub(crate) fn with_engine<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut EventLoop<Callback>) -> R,
    ) -> PyResult<R> {
        self.with_open(py, |open| f(&mut open.engine))
    }

    /// Has a loop that a forked child has inherited share no descriptor with the parent's, before
    /// it parks or watches. Whatever is no longer wanted was never the child's to end.
    ///
    /// # Errors
    /// `OSError` if the system is out of descriptors or memory.
    #[inline]
    fn renew_in_forked_child(&self, py: Python<'_>) -> PyResult<()> {
        let renewed = self
            .with_open(py, |open| if open.engine.is_inherited() { open.renew() } else { Ok(()) });
        // There is nothing to renew in a closed loop.
        renewed.unwrap_or(Ok(())).map_err(|error| os_error(py, &error))
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    pub(crate) fn current_task(&self) -> &CurrentTask {
        &self.current_task
    }

    pub(crate) fn transports(&self) -> &Transports {
        &self.transports
    }

    pub(crate) fn has_task_factory(&self) -> bool {
        self.has_task_factory.load(Ordering::Relaxed)
    }

    pub(crate) fn is_running_now(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn hides_queue(&self) -> bool {
        self.hides_queue.load(Ordering::Relaxed)
    }

    /// Appends to the ready queue.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, callback: Callback) -> PyResult<()> {
        match self.offer(py, callback) {
            None => Ok(()),
            Some(_) => Err(loop_is_closed()),
        }
    }

    /// As `push`, for where nothing may be dropped: a closed loop gives the callback back, which
    /// may be the last reference to anything.
    #[inline(always)]
    pub(crate) fn offer(&self, py: Python<'_>, callback: Callback) -> Option<Callback> {
        self.open.with(py, |open| match open {
            Some(open) => {
                open.engine.push(callback);
                None
            }
            None => Some(callback),
        })
    }

    pub(crate) fn cancel_timer(&self, py: Python<'_>, key: TimerKey) {
        // What is taken out is dropped out here; on a closed loop there is nothing to take.
        drop(self.with_engine(py, |engine| engine.cancel_timer(key)));
    }

    pub(crate) fn timer_is_set(&self, py: Python<'_>, key: TimerKey) -> bool {
        self.with_engine(py, |engine| engine.timers().contains(key)).unwrap_or(false)
    }

    /// Has `transport` flushed when the current batch of callbacks has run.
    pub(crate) fn flush_later(&self, py: Python<'_>, transport: Py<StreamTransport>) {
        // A closed loop will never send again. A parked one is being written to by a thread that
        // should not; what it writes is sent all the same.
        drop(self.with_open(py, |open| {
            open.to_flush.push(transport);
            open.engine.inbox().wake();
        }));
    }

    /// Counts bytes that a transport holds until it is flushed.
    #[inline]
    pub(crate) fn count_unflushed(&self, len: usize) {
        // Nobody else counts meanwhile: it is done with the GIL held.
        let unflushed = self.unflushed.load(Ordering::Relaxed).saturating_add(len);
        self.unflushed.store(unflushed, Ordering::Relaxed);
    }

    /// Whether so much is held that it is not to wait for the end of the batch.
    #[inline]
    fn holds_much(&self) -> bool {
        self.unflushed.load(Ordering::Relaxed) > MOST_UNFLUSHED
    }

    #[inline]
    fn has_to_flush(&self, py: Python<'_>) -> bool {
        self.open.with(py, |open| open.as_ref().is_some_and(|open| !open.to_flush.is_empty()))
    }

    /// The transports to flush, if there are any; the vector is to be given back.
    fn take_to_flush(&self, py: Python<'_>) -> Option<Vec<Py<StreamTransport>>> {
        self.unflushed.store(0, Ordering::Relaxed);
        self.open.with(py, |open| {
            let open = open.as_mut().filter(|open| !open.to_flush.is_empty())?;
            open.engine.look_next();
            let room = std::mem::take(&mut open.flushed);
            Some(std::mem::replace(&mut open.to_flush, room))
        })
    }

    /// Takes the vector back, emptied.
    fn put_flushed(&self, py: Python<'_>, flushed: Vec<Py<StreamTransport>>) {
        debug_assert!(flushed.is_empty());
        let _ = self.with_open(py, |open| open.flushed = flushed);
    }

    /// The equal name of the socket before, if there is one: a server's connections share theirs.
    pub(crate) fn share_sockname<'py>(&self, name: Bound<'py, PyTuple>) -> Bound<'py, PyTuple> {
        let py = name.py();
        let last = self.with_open(py, |open| {
            open.last_sockname.as_ref().map(|last| last.clone_ref(py).into_bound(py))
        });
        match last {
            Ok(Some(last)) if last.eq(&name).unwrap_or(false) => last,
            // The one before is dropped out here.
            _ => {
                let shared = name.clone().unbind();
                drop(self.with_open(py, |open| open.last_sockname.replace(shared)));
                name
            }
        }
    }

    /// Takes the loop's receive buffer, or makes one: a nested read must not find it in use.
    pub(crate) fn take_receive_buffer(&self, py: Python<'_>) -> ReceiveBuffer {
        self.open
            .with(py, |open| open.as_mut().and_then(|open| open.receive_buffer.take()))
            .unwrap_or_default()
    }

    pub(crate) fn put_receive_buffer(&self, py: Python<'_>, buffer: ReceiveBuffer) {
        self.open.with(py, |open| {
            if let Some(open) = open {
                open.receive_buffer = Some(buffer);
            }
        });
    }
}

#[pymethods]
impl LoopCore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = class.py();
        let open = Open {
            engine: EventLoop::new(Clock::Monotonic).map_err(|error| os_error(py, &error))?,
            signal_pipe: SignalPipe::new().map_err(|error| os_error(py, &error))?,
            to_flush: Vec::new(),
            flushed: Vec::new(),
            watched_objects: HashMap::new(),
            receive_buffer: None,
            last_sockname: None,
        };
        Ok(Self {
            open: AttachedCell::new(Some(open)),
            debug: AtomicBool::new(false),
            running: AtomicBool::new(false),
            hides_queue: AtomicBool::new(false),
            unflushed: AtomicUsize::new(0),
            signal_wake_up: SignalWakeUp::default(),
            overrides: Overrides::of(class)?,
            current_task: CurrentTask::default(),
            transports: Transports::default(),
            has_task_factory: AtomicBool::new(false),
        })
    }

    /// The driver in which this loop parks: ``"epoll"``.
    #[classattr]
    fn driver() -> &'static str {
        rondel_engine::driver::NAME
    }

    /// Mirrors the debug flag, which native code reads at every call.
    fn _set_native_debug(&self, enabled: bool) {
        self.debug.store(enabled, Ordering::Relaxed);
    }

    /// For how many seconds the loop spins before it sleeps.
    #[getter]
    fn spin(&self, py: Python<'_>) -> f64 {
        self.with_engine(py, |engine| engine.spin().as_secs_f64()).unwrap_or(0.0)
    }

    /// Has the loop spin for so many seconds; `True` for the engine's own idea, `False` for none.
    fn _set_native_spin(&self, spin: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = spin.py();
        let limit = if let Ok(wanted) = spin.cast::<PyBool>() {
            if wanted.is_true() { DEFAULT_SPIN } else { Duration::ZERO }
        } else {
            Duration::try_from_secs_f64(spin.extract()?).map_err(|_| {
                PyValueError::new_err("spin must be a finite number of seconds, zero or more")
            })?
        };
        self.with_engine(py, |engine| engine.set_spin(limit))
    }

    /// Mirrors whether there is a task factory, which native code asks at every task.
    fn _set_native_task_factory(&self, there_is_one: bool) {
        self.has_task_factory.store(there_is_one, Ordering::Relaxed);
    }

    /// Gives up everything: queue, timers, watches, descriptors.
    fn _close_native(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_running_now() {
            return Err(PyRuntimeError::new_err("Cannot close a running event loop"));
        }
        // Dropped outside the borrow, piece by piece: callbacks may be the last owners of anything.
        if let Some(mut open) = self.open.with(py, Option::take) {
            drop(open.engine.take_all());
            drop(open);
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.current_task.visit(|task| visit.call(task.as_py()))?;
        // Lent out at this moment: then it is in use, and what is not visited is kept alive.
        self.open
            .visit(|open| open.as_ref().map_or(Ok(()), |open| open.visit(visit)))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        if let Some(Some(mut open)) = self.open.visit(Option::take) {
            drop(open.engine.take_all());
            drop(open);
        }
    }
}

impl Open {
    fn renew(&mut self) -> io::Result<()> {
        // The pipe first: it is among what the renewed engine watches, whatever else it forgets.
        self.signal_pipe.renew()?;
        self.engine.renew()?;
        let pipe = self.signal_pipe.read_fd();
        if let Some(waiter) = self.engine.unwatch(pipe, Direction::Read) {
            self.engine.watch(pipe, Direction::Read, waiter)?;
        }
        Ok(())
    }

    fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for entry in self.engine.ready().iter() {
            if let Ready::Callback(callback) = entry {
                callback.visit(visit)?;
            }
        }
        for entry in self.engine.timers().iter().chain(self.engine.waiters()) {
            if let Notify::Callback(callback) = entry {
                callback.visit(visit)?;
            }
        }
        self.to_flush.iter().try_for_each(|transport| visit.call(transport))?;
        visit.call(&self.last_sockname)?;
        self.watched_objects.values().try_for_each(|object| visit.call(object))
    }
}
