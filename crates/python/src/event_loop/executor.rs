//! `run_in_executor`.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rondel_engine::Ready;
use rondel_engine::inject::Inbox;

use super::LoopCore;
use crate::callback::Callback;
use crate::errors::loop_is_closed;
use crate::executor::{ChainedCall, OffloadedCall, Push, WorkQueue};
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::method::{Method, Returned, with_arguments};
use crate::handle::arguments_of;
use crate::imported;

/// The methods of the core that lead to executors.
pub(super) fn methods() -> Vec<Method> {
    vec![with_arguments!(
        LoopCore,
        c"run_in_executor",
        run_in_executor,
        c"run_in_executor($self, executor, func, *args)\n--\n\nHas `func(*args)` called by an executor, None for the default one, and returns a future. See asyncio's `loop.run_in_executor()`."
    )]
}

const RUN_IN_EXECUTOR: Signature<2, 0> = Signature {
    function: "run_in_executor",
    positional: [c"executor", c"func"],
    required: 2,
    rest: true,
    keywords: [],
};

fn run_in_executor<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let sorted = call.sorted(&RUN_IN_EXECUTOR)?;
    // `sorted` has seen to it that what is required is there.
    let [Some(executor), Some(function)] = sorted.positional else { return Err(loop_is_closed()) };
    slf.get().with_open(py, |_| ())?;
    if slf.get().is_debug() {
        let check = intern!(py, "_check_callback");
        slf.call_method1(check, (function, intern!(py, "run_in_executor")))?;
    }
    let executor = if executor.is_none() { default_executor(slf)? } else { (*executor).clone() };
    if executor.get_type().is(imported::thread_pool_executor(py)?) {
        let queue = executor.getattr(intern!(py, "_work_queue"))?;
        let queue = queue.cast::<WorkQueue>()?;
        let future = slf.call_method0(intern!(py, "create_future"))?;
        let arguments = arguments_of(sorted.rest)?;
        let call = OffloadedCall::for_loop(slf, &future, (*function).clone().unbind(), arguments)?;
        let call = Bound::new(py, call)?;
        if queue.get().push(&call, false)? == Push::WantsThread {
            executor.call_method1(intern!(py, "_push_for_new_thread"), (call,))?;
        }
        return Ok(future);
    }
    if executor.get_type().is(imported::stdlib_thread_pool(py)?) {
        let future = slf.call_method0(intern!(py, "create_future"))?;
        let rest = arguments_of(sorted.rest)?;
        let call = OffloadedCall::for_loop(slf, &future, (*function).clone().unbind(), rest)?;
        let put = imported::put_into_stdlib_pool(py)?;
        if put.call1((&executor, Bound::new(py, call)?))?.is_truthy()? {
            return Ok(future);
        }
    }
    let arguments = sorted.rest.tuple()?;
    if let Some(run) = executor.getattr_opt(intern!(py, "_run_in_loop"))? {
        // A process pool, which a running loop drives itself.
        return run.call1((slf, (*function).clone(), arguments));
    }
    let submit = executor.getattr(intern!(py, "submit"))?;
    let all = std::iter::once((*function).clone()).chain(arguments.iter()).collect::<Vec<_>>();
    let source = submit.call1(PyTuple::new(py, all)?)?;
    if source.get_type().is(imported::concurrent_future_class(py)?) {
        let future = slf.call_method0(intern!(py, "create_future"))?;
        ChainedCall::chain(slf, &source, &future)?;
        return Ok(future);
    }
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(intern!(py, "loop"), slf)?;
    imported::wrap_future(py)?.call((source,), Some(&keywords))
}

/// The default executor, which is made when it is first used.
fn default_executor<'py>(slf: &Bound<'py, LoopCore>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    slf.call_method0(intern!(py, "_check_default_executor"))?;
    let executor = slf.getattr(intern!(py, "_default_executor"))?;
    if executor.is_none() {
        return slf.call_method0(intern!(py, "_begin_default_executor"));
    }
    Ok(executor)
}

impl LoopCore {
    /// The way in from other threads, to keep.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn inbox(&self, py: Python<'_>) -> PyResult<Arc<Inbox<Ready<Callback>>>> {
        self.with_engine(py, |engine| Arc::clone(engine.inbox()))
    }
}
