//! `sleep()`: a turn of the loop, or a time.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use rondel_engine::{Notify, TimerKey};

use super::coroutine::{self, Next, Operation, Outcome};
use super::report;
use super::timeout::direct;
use super::waiter::{Awaited, Waiter};
use crate::callback::Callback;
use crate::event_loop::{LoopCore, Overridable, instant, seconds};
use crate::ffi::cell::AttachedCell;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::method::{Method, Returned, bound, none, with_arguments};
use crate::ffi::native::object::{Stop, Visitor};
use crate::ffi::number;
use crate::ffi::owned::Owned;
use crate::imported;

/// A sleep that may be longer than a turn.
pub(super) struct Sleep {
    delay: Owned,
    result: Owned,
    timer: AttachedCell<Timer>,
}

/// What ends it.
#[derive(Default)]
enum Timer {
    #[default]
    None,
    /// An entry of one of our loops, with the future that is awaited.
    Native { core: Owned<LoopCore>, key: TimerKey },
    /// A handle.
    Handle(Owned),
}

/// Makes the function.
///
/// # Errors
/// `MemoryError`.
pub(super) fn make_function(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static SLEEP: Method = with_arguments!(
        PyModule,
        c"sleep",
        sleep,
        c"sleep($module, /, delay, result=None)\n--\n\nTo be awaited: `result`, in `delay` seconds; with 0 or less, in the next turn of the loop. See `asyncio.sleep()`."
    );
    module.add("sleep", bound(module, &SLEEP)?)
}

const SLEEP: Signature<2, 0> = Signature {
    function: "sleep",
    positional: [c"delay", c"result"],
    required: 1,
    rest: false,
    keywords: [],
};

fn sleep<'py>(module: &Bound<'py, PyModule>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = module.py();
    let [delay, result] = call.sorted(&SLEEP)?.positional;
    let result = Owned::new(result.map_or_else(|| none(py), |result| (*result).clone()));
    let Some(delay) = delay else { return Ok(none(py)) };
    if number(&delay).is_some_and(|delay| delay <= 0.0) {
        return coroutine::create(py, Operation::SleepTurn(result));
    }
    let delay = Owned::new((*delay).clone());
    let sleep = Sleep { delay, result, timer: AttachedCell::default() };
    coroutine::create(py, Operation::Sleep(Box::new(sleep)))
}

/// A delay that is a number, and nothing that has methods of its own.
/// One that does not fit is left to the loop.
#[inline]
fn number(delay: &Bound<'_, PyAny>) -> Option<f64> {
    number::value(delay).ok().flatten()
}

impl Sleep {
    /// The first step.
    ///
    /// # Errors
    /// What comparing the delay raises; `ValueError` for NaN, from Python 3.13 on; `RuntimeError`
    /// if no loop runs; what the loop raises.
    pub(super) fn begin<'py>(&self, py: Python<'py>) -> PyResult<Next<'py>> {
        let delay = self.delay.bind(py);
        let number = number(&delay);
        let is_over = match number {
            Some(number) => number <= 0.0,
            None => delay.le(0)?,
        };
        if is_over {
            return Ok(Next::Turn);
        }
        let is_nan = match number {
            Some(number) => number.is_nan(),
            None => cfg!(Py_3_13) && imported::isnan(py)?.call1((&*delay,))?.is_truthy()?,
        };
        if cfg!(Py_3_13) && is_nan {
            return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
        }
        let running = imported::running_loop(py)?.call0()?;
        let future = running.call_method0(intern!(py, "create_future"))?;
        let timer = match number {
            // Somebody may look at the future, which has the result then.
            Some(number) if self.result.bind(py).is_none() => {
                Timer::set(&running, number, &future)?
            }
            _ => None,
        };
        let timer = match timer {
            Some(timer) => timer,
            None => Timer::by_name(&running, &delay, &future, &self.result.bind(py))?,
        };
        drop(self.timer.with(py, |slot| std::mem::replace(slot, timer)));
        match Awaited::future(py, Waiter::new(future)) {
            Ok(awaited) => Ok(Next::Await(awaited)),
            Err(error) => self.disarm(py).and(Err(error)),
        }
    }

    /// The step after the future's end, or an exception's in its place.
    ///
    /// # Errors
    /// The exception.
    #[inline]
    pub(super) fn resumed<'py>(
        &self,
        py: Python<'py>,
        awaited: &Awaited,
        outcome: Outcome<'py>,
    ) -> PyResult<Next<'py>> {
        if matches!(awaited, Awaited::Turn) {
            return outcome.map(|_| Next::Return(self.result.get(py)));
        }
        self.disarm(py)?;
        outcome.map(Next::Return)
    }

    /// # Errors
    /// What cancelling somebody else's handle raises.
    #[inline]
    fn disarm(&self, py: Python<'_>) -> PyResult<()> {
        match self.timer.with(py, std::mem::take) {
            Timer::None => Ok(()),
            Timer::Native { core, key } => {
                core.bind(py).get().cancel_timer(py, key);
                Ok(())
            }
            Timer::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }

    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        visitor.visit(&self.delay)?;
        visitor.visit(&self.result)?;
        let visited = self.timer.visit(|timer| match timer {
            Timer::None => Ok(()),
            Timer::Native { core, .. } => visitor.visit(core),
            Timer::Handle(handle) => visitor.visit(handle),
        });
        visited.unwrap_or(Ok(()))
    }
}

impl Timer {
    /// A timer of one of our loops, if nobody has to see calls of its methods.
    #[inline]
    fn set<'py>(
        running: &Bound<'py, PyAny>,
        delay: f64,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Self>> {
        let py = running.py();
        let Some(core) = direct(running) else { return Ok(None) };
        if core.get().is_overridden(Overridable::CALL_LATER) {
            return Ok(None);
        }
        let when = instant(seconds(core.get().now(py)) + delay);
        let entry = Notify::Callback(Callback::Elapsed(Owned::new(future.clone())));
        let key = core.get().with_engine(py, |engine| engine.set_timer(when, entry))?;
        Ok(Some(Self::Native { core: Owned::new(core.clone()), key }))
    }

    /// As asyncio's `sleep()` sets one, of any loop.
    fn by_name<'py>(
        running: &Bound<'py, PyAny>,
        delay: &Bound<'py, PyAny>,
        future: &Bound<'py, PyAny>,
        result: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let py = running.py();
        let set = imported::set_result_unless_cancelled(py)?;
        let call_later = intern!(py, "call_later");
        let handle = running.call_method1(call_later, (delay, set, future, result))?;
        Ok(Self::Handle(Owned::new(handle)))
    }
}

/// An entry of the loop's says that the time is up for who waits for `future`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`; what else is raised has been reported.
pub(crate) fn elapsed(core: &Bound<'_, LoopCore>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    match Waiter::new(future.clone()).wake(core.py()) {
        Ok(_) => Ok(()),
        Err(error) => report(core, future, error),
    }
}
