//! `Task`: a coroutine that the loop runs; `asyncio.Task` by interface and by `isinstance`.
//!
//! Behaviour, messages and the order of things are those of CPython's `_asyncio.Task`. On one of
//! our loops a task is an entry of the ready queue itself, and the future that it waits for puts
//! it there.

mod class;
mod current;
mod registry;
mod report;
mod step;

pub(crate) use class::{bound_wake_up, make_class};
pub(crate) use current::CurrentTask;
pub(crate) use step::Cause;

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::callback::Callback;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::object::{self, Contents, Native, Stop, Visitor, as_base, native_class};
use crate::ffi::owned::Owned;
use crate::ffi::{context, coroutine};
use crate::future::{EventLoop, Future, State};
use crate::imported;

/// The contents of a task.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Task {
    base: Future,
    run: AttachedCell<Run>,
    registered: registry::Place,
}

/// What a task has beyond a future.
#[derive(Default)]
struct Run {
    coroutine: Option<Owned>,
    context: Option<Owned>,
    name: Name,
    /// The future that the coroutine waits for.
    waits_for: Option<Owned>,
    /// What the next step throws into the coroutine.
    to_throw: Option<Owned>,
    /// How many requests of cancellation have not been withdrawn.
    cancel_requests: i64,
    /// The next step throws `CancelledError`.
    must_cancel: bool,
    silent_when_destroyed: bool,
}

impl Run {
    /// At the beginning, before the first step.
    #[inline(always)]
    fn of(beginning: Beginning<'_, '_>) -> PyResult<Self> {
        let Beginning { coroutine, name, context, .. } = beginning;
        let name = match name {
            None => Name::Number(LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1),
            Some(name) => Name::Given(Owned::new(as_name(name)?)),
        };
        let context = match context {
            Some(context) => context,
            None => context::copy_current(coroutine.py())?,
        };
        Ok(Self {
            coroutine: Some(Owned::new(coroutine.clone())),
            context: Some(Owned::new(context)),
            name,
            ..Self::default()
        })
    }
}

#[derive(Default)]
enum Name {
    /// `Task-N`, made when somebody asks.
    Number(u64),
    Given(Owned),
    #[default]
    None,
}

/// The number of the last task that was given no name.
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

native_class!(Task: Future, c"rondel._rondel.Task");

impl Contents for Task {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.base.visit(visitor)?;
        let visited = self.run.visit(|run| {
            visitor.all(&run.coroutine)?;
            visitor.all(&run.context)?;
            if let Name::Given(name) = &run.name {
                visitor.visit(name)?;
            }
            visitor.all(&run.waits_for)?;
            visitor.all(&run.to_throw)
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        self.registered.leave();
        self.base.clear();
        drop(self.run.visit(|run| {
            let context = run.context.take();
            (run.coroutine.take(), context, run.waits_for.take(), run.to_throw.take())
        }));
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }

    const FINALIZES: bool = true;

    fn wants_finalizer(&self) -> bool {
        self.base.wants_finalizer() || self.is_lost_while_pending()
    }

    fn finalize(slf: &Bound<'_, Self>) {
        // As the weak references of what is collected go first.
        slf.contents().registered.leave();
        if slf.contents().is_lost_while_pending() {
            report::destroyed_while_pending(slf);
        }
        Future::report_never_retrieved(as_base(slf));
    }
}

/// What a task is made of.
pub(crate) struct Beginning<'a, 'py> {
    pub(crate) coroutine: &'a Bound<'py, PyAny>,
    pub(crate) name: Option<Bound<'py, PyAny>>,
    pub(crate) context: Option<Bound<'py, PyAny>>,
    /// Whether the first step is taken at once.
    pub(crate) eager: bool,
}

impl Task {
    /// A new task of one of our loops, which runs from the next turn on.
    ///
    /// # Errors
    /// `TypeError` for what is no coroutine; `RuntimeError` if the loop is closed.
    #[inline]
    pub(crate) fn create<'py>(
        core: &Bound<'py, LoopCore>,
        beginning: Beginning<'_, 'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = core.py();
        if core.get().is_debug() || !coroutine::is_native(beginning.coroutine) || beginning.eager {
            let contents = Self { base: Future::of_core(core)?, ..Self::default() };
            let task = object::create(py, contents)?;
            Self::begin(&task, beginning)?;
            return Ok(task);
        }
        // What most tasks are is written to where it stays, in one go.
        let run = Run::of(beginning)?;
        let event_loop = Some(EventLoop::Native(Owned::new(core.clone())));
        let base = Future { state: AttachedCell::new(State { event_loop, ..State::default() }) };
        let contents =
            Self { base, run: AttachedCell::new(run), registered: registry::Place::default() };
        let task = object::create(py, contents)?;
        Self::schedule_step(&task)?;
        registry::register(&task)?;
        Ok(task)
    }

    /// What `__init__` does when the future's part is done.
    ///
    /// # Errors
    /// `TypeError` for what is no coroutine; `RuntimeError` if the loop is closed.
    #[inline]
    fn begin<'py>(slf: &Bound<'py, Self>, beginning: Beginning<'_, 'py>) -> PyResult<()> {
        let py = slf.py();
        let Beginning { coroutine, eager, .. } = beginning;
        if !coroutine::is_native(coroutine)
            && !imported::iscoroutine(py)?.call1((coroutine,))?.is_truthy()?
        {
            // It will not be run, which is nothing to report.
            slf.contents().run.with(py, |run| run.silent_when_destroyed = true);
            let message = format!("a coroutine was expected, got {}", coroutine.repr()?);
            return Err(PyTypeError::new_err(message));
        }
        let fresh = Run::of(beginning)?;
        drop(slf.contents().run.with(py, |run| std::mem::replace(run, fresh)));
        if eager && slf.contents().base.event_loop(py)?.is_running(py)? {
            return step::begin_eagerly(slf);
        }
        Self::schedule_step(slf)?;
        registry::register(slf)
    }

    /// Puts the next step into the ready queue.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed; what somebody else's `call_soon` raises.
    #[inline]
    fn schedule_step(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let base = &slf.contents().base;
        if base.push(py, || Callback::Step(Owned::new(slf.clone())))? {
            return Ok(());
        }
        let event_loop = base.event_loop(py)?;
        event_loop.call_soon(py, &class::bound_step(slf)?, None, &slf.contents().context(py))
    }

    pub(crate) fn future(&self) -> &Future {
        &self.base
    }

    /// How many requests of cancellation have not been withdrawn.
    #[inline]
    pub(crate) fn cancel_requests(&self, py: Python<'_>) -> i64 {
        self.run.with(py, |run| run.cancel_requests)
    }

    /// Not to be complained of when it is given up while pending.
    #[cfg(not(Py_3_14))]
    pub(crate) fn be_silent_when_destroyed(&self, py: Python<'_>) {
        self.run.with(py, |run| run.silent_when_destroyed = true);
    }

    /// The context in which the coroutine runs.
    #[inline]
    pub(crate) fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let context = self.run.with(py, |run| run.context.as_ref().map(|context| context.get(py)));
        context.unwrap_or_else(|| py.None().into_bound(py))
    }

    /// Asks the coroutine to end; `false` if it has.
    ///
    /// # Errors
    /// What cancelling the future that it waits for raises.
    pub(crate) fn cancel(
        slf: &Bound<'_, Self>,
        message: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let task = slf.contents();
        task.base.event_loop(py)?;
        task.base.state.with(py, |state| state.log_traceback = false);
        if !task.base.is_pending(py) {
            return Ok(false);
        }
        let waits_for = task.run.with(py, |run| {
            run.cancel_requests += 1;
            run.waits_for.clone()
        });
        if let Some(future) = waits_for
            && cancel_future(&future.bind(py), message)?
        {
            // The task is resumed by the future, with its CancelledError.
            return Ok(true);
        }
        task.run.with(py, |run| run.must_cancel = true);
        task.base.set_cancel_message(py, message);
        Ok(true)
    }

    /// The name; made now if nobody has asked before.
    fn name<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let number = self.run.with(py, |run| match &run.name {
            Name::Number(number) => Ok(*number),
            Name::Given(name) => Err(Some(name.get(py))),
            Name::None => Err(None),
        });
        let number = match number {
            Ok(number) => number,
            Err(name) => return name,
        };
        let name = PyString::new(py, &format!("Task-{number}")).into_any();
        self.run.with(py, |run| run.name = Name::Given(Owned::new(name.clone())));
        Some(name)
    }

    fn is_lost_while_pending(&self) -> bool {
        let pending = self.base.state.visit(|state| {
            state.event_loop.is_some() && state.status == crate::future::Status::Pending
        });
        let loud = self.run.visit(|run| run.coroutine.is_some() && !run.silent_when_destroyed);
        pending == Some(true) && loud == Some(true)
    }
}

/// A future or task of ours, unless a subclass may see its methods called.
#[inline]
pub(crate) fn native_future<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Future> {
    if let Ok(future) = object.cast_exact::<Future>() {
        return Some(future.contents());
    }
    object.cast_exact::<Task>().ok().map(|task| task.contents().future())
}

/// `future.cancel(msg=message)`.
pub(crate) fn cancel_future(
    future: &Bound<'_, PyAny>,
    message: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    let py = future.py();
    if let Ok(future) = future.cast_exact::<Future>() {
        return future.contents().cancel(future.as_any(), message);
    }
    if let Ok(task) = future.cast_exact::<Task>() {
        return Task::cancel(task, message);
    }
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(intern!(py, "msg"), message)?;
    future.call_method(intern!(py, "cancel"), (), Some(&keywords))?.is_truthy()
}

/// A name is a str.
fn as_name(name: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if name.is_exact_instance_of::<PyString>() { Ok(name) } else { Ok(name.str()?.into_any()) }
}

/// Whether both are the same loop.
fn same_loop(one: &EventLoop, other: &EventLoop) -> bool {
    one.is(other)
}
