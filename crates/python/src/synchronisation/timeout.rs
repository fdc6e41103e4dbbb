//! `Timeout`: a block of a coroutine that is cancelled when it takes too long.

use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyFloat;
use rondel_engine::{Notify, TimerKey};

use super::coroutine::{self, Operation};
use super::report;
use crate::callback::Callback;
use crate::event_loop::{LoopCore, Overridable, instant, seconds};
use crate::ffi::cell::AttachedCell;
use crate::ffi::exception;
use crate::ffi::native::method::{Method, Returned, bound, none, without_arguments};
use crate::ffi::native::object::{Contents, Native, Stop, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;
use crate::task::Task;
use crate::timer_handle::When;

/// The contents of a timeout.
#[derive(Default)]
pub(crate) struct Timeout {
    pub(super) state: AttachedCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) when: Option<When>,
    task: Option<Owned>,
    /// How many requests of cancellation the task had before.
    cancelling: i64,
    timer: Timer,
}

/// How far a timeout has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Created,
    Entered,
    /// The time is up, and the task is to be cancelled.
    Expiring,
    Expired,
    Exited,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Entered => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Exited => "finished",
        }
    }
}

/// What ends the time.
#[derive(Default)]
enum Timer {
    #[default]
    None,
    /// An entry of one of our loops, which is the timeout itself.
    Native { core: Owned<LoopCore>, when: f64, key: Option<TimerKey> },
    /// A handle.
    Handle(Owned),
}

/// The exception with which a block ends: its class and itself.
pub(super) struct Raised {
    pub(super) class: Owned,
    pub(super) value: Owned,
}

native_class!(Timeout, c"rondel._rondel.Timeout");

impl Contents for Timeout {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        let visited = self.state.visit(|state| {
            visitor.all(&state.task)?;
            if let Some(When::Given(when)) = &state.when {
                visitor.visit(when)?;
            }
            match &state.timer {
                Timer::None => Ok(()),
                Timer::Native { core, .. } => visitor.visit(core),
                Timer::Handle(handle) => visitor.visit(handle),
            }
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        drop(self.state.visit(|state| (state.task.take(), std::mem::take(&mut state.timer))));
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }
}

impl State {
    /// At the beginning.
    pub(super) fn of(when: Option<When>) -> Self {
        Self { when, ..Self::default() }
    }
}

/// The contents of a timeout for `when`.
pub(super) fn of(when: Option<When>) -> Timeout {
    Timeout { state: AttachedCell::new(State::of(when)) }
}

/// A time as a timeout keeps it.
pub(super) fn as_when(when: &Bound<'_, PyAny>) -> Option<When> {
    if when.is_none() {
        return None;
    }
    Some(match when.cast_exact::<PyFloat>() {
        Ok(number) => When::Seconds(number.value()),
        Err(_) => When::Given(Owned::new(when.clone())),
    })
}

/// One of our loops, when nobody has to see calls of its methods.
#[inline]
pub(super) fn direct<'a, 'py>(
    event_loop: &'a Bound<'py, PyAny>,
) -> Option<&'a Bound<'py, LoopCore>> {
    let core = event_loop.cast::<LoopCore>().ok()?;
    let by_name = Overridable::CALL_SOON | Overridable::CALL_AT | Overridable::TIME;
    (!core.get().is_debug() && !core.get().is_overridden(by_name)).then_some(core)
}

impl Timeout {
    /// `__aenter__`.
    ///
    /// # Errors
    /// `RuntimeError` outside of a task, or for the second time; those of `reschedule`.
    #[inline]
    pub(super) fn enter<'py>(slf: &Bound<'py, Self>) -> Returned<'py> {
        let py = slf.py();
        let timeout = slf.contents();
        if timeout.state.with(py, |state| state.phase) != Phase::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered"));
        }
        let running = imported::running_loop(py)?.call0()?;
        let Some(task) = current_task(&running)? else {
            return Err(PyRuntimeError::new_err("Timeout should be used inside a task"));
        };
        let cancelling = match native_task(&task) {
            Some(task) => task.contents().cancel_requests(py),
            None => task.call_method0(intern!(py, "cancelling"))?.extract()?,
        };
        let task = Some(Owned::new(task));
        let replaced = timeout.state.with(py, |state| {
            state.phase = Phase::Entered;
            state.cancelling = cancelling;
            std::mem::replace(&mut state.task, task)
        });
        drop(replaced);
        Self::arm(slf, &running)?;
        Ok(slf.clone().into_any())
    }

    /// Sets what ends the time that `state.when` names.
    fn arm<'py>(slf: &Bound<'py, Self>, running: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.contents().state;
        let (bounded, when) = state.with(py, |state| match &state.when {
            None => (false, None),
            Some(When::Seconds(seconds)) => (true, Some(*seconds)),
            Some(When::Given(_)) => (true, None),
        });
        if !bounded {
            return Ok(());
        }
        let timer = if let (Some(when), Some(core)) = (when, direct(running)) {
            let entry = Callback::Timeout(Owned::new(slf.clone()));
            let key = if when <= seconds(core.get().now(py)) {
                core.get().push(py, entry)?;
                None
            } else {
                let set = |engine: &mut rondel_engine::EventLoop<Callback>| {
                    engine.set_timer(instant(when), Notify::Callback(entry))
                };
                Some(core.get().with_engine(py, set)?)
            };
            Timer::Native { core: Owned::new(core.clone()), when, key }
        } else {
            let when = state.with(py, |state| state.when.as_ref().map(|when| when.object(py)));
            let Some(when) = when else { return Ok(()) };
            let expire = bound_expire(slf)?;
            let handle = if when.le(running.call_method0(intern!(py, "time"))?)? {
                running.call_method1(intern!(py, "call_soon"), (expire,))?
            } else {
                running.call_method1(intern!(py, "call_at"), (when, expire))?
            };
            Timer::Handle(Owned::new(handle))
        };
        drop(state.with(py, |state| std::mem::replace(&mut state.timer, timer)));
        Ok(())
    }

    /// # Errors
    /// What cancelling somebody else's handle raises.
    #[inline]
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        match self.state.with(py, |state| std::mem::take(&mut state.timer)) {
            Timer::None | Timer::Native { key: None, .. } => Ok(()),
            Timer::Native { core, key: Some(key), .. } => {
                core.bind(py).get().cancel_timer(py, key);
                Ok(())
            }
            Timer::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    /// # Errors
    /// `RuntimeError` before the block and behind it; what the loop raises.
    pub(super) fn reschedule<'py>(
        slf: &Bound<'py, Self>,
        when: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let timeout = slf.contents();
        match timeout.state.with(py, |state| state.phase) {
            Phase::Entered => {}
            Phase::Created => return Err(PyRuntimeError::new_err("Timeout has not been entered")),
            other => {
                let message = format!("Cannot change state of {} Timeout", other.name());
                return Err(PyRuntimeError::new_err(message));
            }
        }
        let when = as_when(when);
        drop(timeout.state.with(py, |state| std::mem::replace(&mut state.when, when)));
        timeout.disarm(py)?;
        if timeout.state.with(py, |state| state.when.is_none()) {
            return Ok(()); // which asks for no loop
        }
        Self::arm(slf, &imported::running_loop(py)?.call0()?)
    }

    /// An entry of the loop's says that the time is up, which may have been changed since.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; what else is raised has been reported.
    pub(crate) fn due(core: &Bound<'_, LoopCore>, slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let now = instant(seconds(core.get().now(py)));
        let is_due = slf.contents().state.with(
            py,
            |state| matches!(&state.timer, Timer::Native { when, .. } if instant(*when) <= now),
        );
        match if is_due { Self::expire(slf) } else { Ok(()) } {
            Ok(()) => Ok(()),
            Err(error) => report(core, slf.as_any(), error),
        }
    }

    /// The time is up.
    fn expire(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let timeout = slf.contents();
        let (phase, task) = timeout.state.with(py, |state| (state.phase, state.task.clone()));
        let (Phase::Entered, Some(task)) = (phase, task) else { return Ok(()) };
        let task = task.into_bound(py);
        match native_task(&task) {
            Some(task) => Task::cancel(task, None).map(drop)?,
            None => task.call_method0(intern!(py, "cancel")).map(drop)?,
        }
        let timer = timeout.state.with(py, |state| {
            state.phase = Phase::Expiring;
            std::mem::take(&mut state.timer)
        });
        drop(timer);
        Ok(())
    }

    /// `__aexit__`.
    ///
    /// # Errors
    /// `TimeoutError` if the time was up and the block was cancelled for nothing else.
    #[inline]
    pub(super) fn exit<'py>(slf: &Bound<'py, Self>, raised: Option<&Raised>) -> Returned<'py> {
        let py = slf.py();
        let timeout = slf.contents();
        timeout.disarm(py)?;
        let phase = timeout.state.with(py, |state| match state.phase {
            Phase::Entered => std::mem::replace(&mut state.phase, Phase::Exited),
            Phase::Expiring => std::mem::replace(&mut state.phase, Phase::Expired),
            other => other,
        });
        match phase {
            Phase::Entered => Ok(none(py)),
            Phase::Expiring => timeout.expired(py, raised),
            _ => Err(PyAssertionError::new_err(())),
        }
    }

    #[cold]
    fn expired<'py>(&self, py: Python<'py>, raised: Option<&Raised>) -> Returned<'py> {
        let (task, before) = self.state.with(py, |state| (state.task.clone(), state.cancelling));
        let Some(task) = task else { return Ok(none(py)) };
        let left: i64 = task.bind(py).call_method0(intern!(py, "uncancel"))?.extract()?;
        let Some(raised) = raised.filter(|_| left <= before) else { return Ok(none(py)) };
        // Nobody else has asked for the cancellation.
        let (class, value) = (raised.class.bind(py), raised.value.bind(py));
        let cancelled_error = imported::cancelled_error(py)?;
        let is_cancelled = if cfg!(Py_3_13) {
            class.cast::<pyo3::types::PyType>()?.is_subclass(cancelled_error)?
        } else {
            class.is(cancelled_error)
        };
        if is_cancelled {
            let error = py.get_type::<PyTimeoutError>().call0()?;
            error.setattr(intern!(py, "__cause__"), value)?;
            return Err(exception::raised_now(&error));
        }
        if cfg!(Py_3_13) && !value.is_none() {
            insert_timeout_error(&value)?;
            if value.is_instance(imported::exception_group(py)?)? {
                for part in value.getattr(intern!(py, "exceptions"))?.try_iter()? {
                    insert_timeout_error(&part?)?;
                }
            }
        }
        Ok(none(py))
    }
}

/// Puts a `TimeoutError` between an exception and the cancellation during which it was raised.
fn insert_timeout_error(error: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = error.py();
    let (context, cause) = (intern!(py, "__context__"), intern!(py, "__cause__"));
    let mut error = error.clone();
    loop {
        let during = error.getattr(context)?;
        if during.is_none() {
            return Ok(());
        }
        if during.is_instance(imported::cancelled_error(py)?)? {
            let timeout_error = py.get_type::<PyTimeoutError>().call0()?;
            timeout_error.setattr(cause, &during)?;
            timeout_error.setattr(context, &during)?;
            return error.setattr(context, timeout_error);
        }
        error = during;
    }
}

/// The task that runs on the running loop.
#[inline]
fn current_task<'py>(running: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    #[cfg(not(Py_3_14))]
    return imported::current_tasks(running.py())?.get_item(running);
    #[cfg(Py_3_14)]
    {
        let task = imported::current_task(running.py())?.call1((running,))?;
        Ok(Some(task).filter(|task| !task.is_none()))
    }
}

/// A task of ours, unless a subclass may see its methods called.
#[inline]
fn native_task<'a, 'py>(task: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Task>> {
    if cfg!(Py_3_14) { None } else { task.cast_exact::<Task>().ok() }
}

/// What a loop that is not ours calls when the time is up.
fn bound_expire<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    static EXPIRE: Method = without_arguments!(Timeout, c"_on_timeout", call_expire, c"");
    bound(slf, &EXPIRE)
}

fn call_expire<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    Timeout::expire(slf).map(|()| none(slf.py()))
}

/// `__aenter__()`.
pub(super) fn enter<'py>(slf: &Bound<'py, Timeout>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::TimeoutEnter(Owned::new(slf.clone())))
}
