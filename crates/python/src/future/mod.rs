//! `Future`: a result that is not there yet; `asyncio.Future` by interface and by `isinstance`.
//!
//! Behaviour, messages and the order of things are those of CPython's `_asyncio.Future`. What is
//! different is the way to the loop: on one of ours a future puts those who wait for it into the
//! ready queue itself, and a task that waits needs no handle for that.

mod class;
mod iterator;
mod outcome;
mod waiters;

pub(crate) use class::{CANCEL, make_class, named, not_deleted};
pub(crate) use iterator::{await_step, make_class as make_iterator_class, thrown};
pub(crate) use outcome::Outcome;
pub(crate) use waiters::{Scheduled, Waiter};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::callback::Callback;
use crate::errors::loop_is_closed;
use crate::event_loop::{LoopCore, Overridable};
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::object::{self, Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;
use waiters::Waiters;

/// How far a future has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Pending,
    Cancelled,
    /// Finished, with a result.
    Returned,
    /// Finished, with an exception.
    Raised,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Cancelled => "CANCELLED",
            Self::Returned | Self::Raised => "FINISHED",
        }
    }
}

/// The contents of a future, and the beginning of a task's.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Future {
    pub(crate) state: AttachedCell<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The loop, from `__init__` on.
    pub(crate) event_loop: Option<EventLoop>,
    pub(crate) status: Status,
    /// Whether an exception would be lost if nobody asked for it any more.
    pub(crate) log_traceback: bool,
    /// Set between the `yield` of an `await` and the task's taking notice of it.
    pub(crate) blocking: bool,
    pub(crate) waiters: Waiters,
    /// The only one who waited, if that was a callback, between the end and its call.
    pub(crate) scheduled: Option<Scheduled>,
    /// The result or the exception.
    pub(crate) outcome: Option<Owned>,
    /// What most futures never have.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Default)]
pub(crate) struct Rare {
    /// Of the exception, as it was set.
    pub(crate) traceback: Option<Owned>,
    /// Where the future was made; debug mode only.
    pub(crate) source_traceback: Option<Owned>,
    pub(crate) cancel_message: Option<Owned>,
    /// With which a coroutine ended that was cancelled.
    pub(crate) cancelled_error: Option<Owned>,
}

impl State {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// Whose future it is.
#[derive(Clone)]
pub(crate) enum EventLoop {
    Native(Owned<LoopCore>),
    Foreign(Owned),
}

impl EventLoop {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        match object.cast::<LoopCore>() {
            Ok(core) => Self::Native(Owned::new(core.clone())),
            Err(_) => Self::Foreign(Owned::new(object.clone())),
        }
    }

    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::Native(core) => core.get(py).into_any(),
            Self::Foreign(object) => object.get(py),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr()
    }

    fn as_ptr(&self) -> *const () {
        match self {
            Self::Native(core) => core.as_ptr().cast(),
            Self::Foreign(object) => object.as_ptr().cast(),
        }
    }

    /// The loop into whose queue entries may be put directly: ours, when nobody has to see a call
    /// of `call_soon`.
    #[inline]
    pub(crate) fn queue<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> Option<pyo3::Borrowed<'a, 'py, LoopCore>> {
        let Self::Native(core) = self else { return None };
        let core = core.bind(py);
        let direct = !core.get().is_debug() && !core.get().is_overridden(Overridable::CALL_SOON);
        direct.then_some(core)
    }

    /// `loop.call_soon(callback, *arguments, context=context)`, through the loop's own name.
    pub(crate) fn call_soon<'py>(
        &self,
        py: Python<'py>,
        callback: &Bound<'py, PyAny>,
        argument: Option<&Bound<'py, PyAny>>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item(intern!(py, "context"), context)?;
        let call_soon = intern!(py, "call_soon");
        let event_loop = self.object(py);
        match argument {
            Some(argument) => {
                event_loop.call_method(call_soon, (callback, argument), Some(&keywords))
            }
            None => event_loop.call_method(call_soon, (callback,), Some(&keywords)),
        }
        .map(drop)
    }

    pub(crate) fn is_debug(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Native(core) => Ok(core.bind(py).get().is_debug()),
            Self::Foreign(object) => {
                object.bind(py).call_method0(intern!(py, "get_debug"))?.is_truthy()
            }
        }
    }

    pub(crate) fn is_running(&self, py: Python<'_>) -> PyResult<bool> {
        self.object(py).call_method0(intern!(py, "is_running"))?.is_truthy()
    }

    pub(crate) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        match self {
            Self::Native(core) => visitor.visit(core),
            Self::Foreign(object) => visitor.visit(object),
        }
    }
}

native_class!(Future, c"rondel._rondel.Future");

impl Contents for Future {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        let visited = self.state.visit(|state| {
            if let Some(event_loop) = &state.event_loop {
                event_loop.visit(visitor)?;
            }
            state.waiters.visit(visitor)?;
            if let Some(scheduled) = &state.scheduled {
                scheduled.visit(visitor)?;
            }
            visitor.all(&state.outcome)?;
            let Some(rare) = &state.rare else { return Ok(()) };
            visitor.all(&rare.traceback)?;
            visitor.all(&rare.source_traceback)?;
            visitor.all(&rare.cancel_message)?;
            visitor.all(&rare.cancelled_error)
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        let held = self.state.visit(|state| {
            let waiters = (std::mem::take(&mut state.waiters), state.scheduled.take());
            (state.event_loop.take(), waiters, state.outcome.take(), state.rare.take())
        });
        drop(held);
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }

    const FINALIZES: bool = true;

    fn wants_finalizer(&self) -> bool {
        self.state.visit(|state| state.log_traceback).unwrap_or(false)
    }

    fn finalize(slf: &Bound<'_, Self>) {
        Self::report_never_retrieved(slf);
    }
}

#[cold]
fn not_initialized() -> PyErr {
    PyRuntimeError::new_err("Future object is not initialized.")
}

impl Future {
    /// A new future of one of our loops.
    ///
    /// # Errors
    /// `MemoryError`; in debug mode what taking the stack raises.
    #[inline]
    pub(crate) fn create<'py>(core: &Bound<'py, LoopCore>) -> PyResult<Bound<'py, Self>> {
        object::create(core.py(), Self::of_core(core)?)
    }

    /// The contents of a new future, or of the future in a task.
    ///
    /// # Errors
    /// In debug mode what taking the stack raises.
    #[inline]
    pub(crate) fn of_core(core: &Bound<'_, LoopCore>) -> PyResult<Self> {
        let event_loop = Some(EventLoop::Native(Owned::new(core.clone())));
        let future = Self { state: AttachedCell::new(State { event_loop, ..State::default() }) };
        if core.get().is_debug() {
            future.remember_source(core.py())?;
        }
        Ok(future)
    }

    /// What `__init__` does: begins anew, for `event_loop` or else the current one.
    ///
    /// # Errors
    /// `RuntimeError` if there is no current loop.
    pub(crate) fn begin<'py>(
        &self,
        py: Python<'py>,
        event_loop: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let event_loop = match event_loop {
            Some(event_loop) => EventLoop::new(event_loop),
            None => EventLoop::new(&imported::current_loop(py)?),
        };
        let is_debug = event_loop.is_debug(py)?;
        let mut fresh = State { event_loop: Some(event_loop), ..State::default() };
        drop(self.state.with(py, |state| {
            // Whatever becomes of the future, it is in the queue.
            fresh.scheduled = state.scheduled.take();
            std::mem::replace(state, fresh)
        }));
        if is_debug { self.remember_source(py) } else { Ok(()) }
    }

    fn remember_source(&self, py: Python<'_>) -> PyResult<()> {
        let stack = imported::extract_stack(py)?.call0()?;
        self.state.with(py, |state| state.rare().source_traceback = Some(Owned::new(stack)));
        Ok(())
    }

    #[inline]
    pub(crate) fn status(&self, py: Python<'_>) -> Status {
        self.state.with(py, |state| state.status)
    }

    #[inline]
    pub(crate) fn is_pending(&self, py: Python<'_>) -> bool {
        self.status(py) == Status::Pending
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` was never called.
    #[inline]
    pub(crate) fn event_loop(&self, py: Python<'_>) -> PyResult<EventLoop> {
        self.state.with(py, |state| state.event_loop.clone()).ok_or_else(not_initialized)
    }

    /// Puts what `entry` makes into the queue of the loop; `false` if that is not to be done
    /// directly (see [`EventLoop::queue`]).
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed, or `__init__` was never called.
    #[inline(always)]
    pub(crate) fn push(&self, py: Python<'_>, entry: impl FnOnce() -> Callback) -> PyResult<bool> {
        let refused = self.state.with(py, |state| {
            let event_loop = state.event_loop.as_ref().ok_or_else(not_initialized)?;
            let core = event_loop.queue(py);
            Ok::<_, PyErr>(core.map(|core| core.get().offer(py, entry())))
        });
        match refused? {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(_)) => Err(loop_is_closed()),
        }
    }

    /// Tells the loop's exception handler of an exception that nobody has asked for.
    pub(crate) fn report_never_retrieved(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let future = slf.contents();
        let exception = future.state.with(py, |state| {
            let lost = std::mem::take(&mut state.log_traceback) && state.status == Status::Raised;
            if lost { state.outcome.clone() } else { None }
        });
        let Some(exception) = exception else { return };
        let reported = (|| {
            let context = pyo3::types::PyDict::new(py);
            let class = slf.as_any().get_type().name()?;
            context.set_item("message", format!("{class} exception was never retrieved"))?;
            context.set_item("exception", exception.bind(py))?;
            context.set_item("future", slf)?;
            Self::tell_exception_handler(py, future, &context)
        })();
        if let Err(error) = reported {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    pub(crate) fn tell_exception_handler<'py>(
        py: Python<'py>,
        future: &Self,
        context: &Bound<'py, pyo3::types::PyDict>,
    ) -> PyResult<()> {
        let source = future
            .state
            .with(py, |state| state.rare.as_ref().and_then(|rare| rare.source_traceback.clone()));
        if let Some(source) = source {
            context.set_item("source_traceback", source.bind(py))?;
        }
        let event_loop = future.event_loop(py)?.object(py);
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    }
}
