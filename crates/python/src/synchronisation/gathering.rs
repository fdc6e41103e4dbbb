//! `_GatheringFuture`: what `gather()` returns, done when its children are.

use std::collections::VecDeque;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::report;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::ffi::native::arguments::Call;
use crate::ffi::native::class::{self, Class};
use crate::ffi::native::method::{
    Method, Returned, attribute, boolean, bound, none, with_arguments, with_object,
};
use crate::ffi::native::object::{
    self, Contents, Native, NativeClass, Stop, Visitor, as_base, native_class,
};
use crate::ffi::owned::Owned;
use crate::future::{CANCEL, Future, Status};
use crate::imported;
use crate::task::{cancel_future, native_future};

/// The contents of a gathering future. Before [`Gathering::begin`] it is nobody's: children that
/// are done then have been abandoned.
#[repr(C)]
pub(crate) struct Gathering {
    base: Future,
    gathered: AttachedCell<Gathered>,
}

struct Gathered {
    children: Children,
    finished: usize,
    /// Children that are done, one for each entry of a queue, which names none.
    arrived: VecDeque<Owned>,
    /// In which the children's callbacks run, where there are any.
    context: Option<Owned>,
    return_exceptions: bool,
    cancel_requested: bool,
}

/// What is gathered.
#[derive(Default)]
pub(super) struct Children {
    /// Each once.
    pub(super) each: Vec<Owned>,
    /// Where that of each argument is; empty where they are one by one.
    pub(super) places: Vec<usize>,
}

impl Children {
    /// How many arguments there were.
    fn len(&self) -> usize {
        if self.places.is_empty() { self.each.len() } else { self.places.len() }
    }

    /// That of an argument.
    fn get(&self, argument: usize) -> Option<Owned> {
        let at = if self.places.is_empty() { argument } else { *self.places.get(argument)? };
        self.each.get(at).cloned()
    }
}

native_class!(Gathering: Future, c"rondel._rondel._GatheringFuture");

impl Contents for Gathering {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        self.base.visit(visitor)?;
        let visited = self.gathered.visit(|gathered| {
            visitor.all(&gathered.children.each)?;
            visitor.all(&gathered.arrived)?;
            visitor.all(&gathered.context)
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        self.base.clear();
        drop(self.gathered.visit(|gathered| {
            let arrived = std::mem::take(&mut gathered.arrived);
            (std::mem::take(&mut gathered.children), arrived, gathered.context.take())
        }));
    }

    const FINALIZES: bool = true;

    fn wants_finalizer(&self) -> bool {
        self.base.wants_finalizer()
    }

    fn finalize(slf: &Bound<'_, Self>) {
        Future::report_never_retrieved(as_base(slf));
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(super) fn make_class(py: Python<'_>) -> PyResult<()> {
    let class = Class {
        doc: c"What `gather()` returns.",
        base: Some(Future::cell().get()),
        methods: vec![with_arguments!(
            Gathering,
            c"cancel",
            cancel,
            c"cancel($self, /, msg=None)\n--\n\nCancels all children; False if there is none to be cancelled."
        )],
        attributes: vec![
            attribute!(Gathering, c"_children", children),
            attribute!(Gathering, c"_cancel_requested", cancel_requested),
        ],
        slots: vec![],
        has_dict: true,
        subclassable: false,
    };
    class::build::<Gathering>(py, class).map(drop)
}

/// What a child came to. An exception has been asked for.
enum End<'py> {
    Cancelled,
    Raised(Bound<'py, PyAny>),
    Returned,
}

impl<'py> End<'py> {
    #[inline]
    fn of(child: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = child.py();
        if let Some(native) = native_future(child) {
            if native.status(py) == Status::Cancelled {
                return Ok(Self::Cancelled);
            }
            return Ok(native.exception(py)?.map_or(Self::Returned, Self::Raised));
        }
        if child.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return Ok(Self::Cancelled);
        }
        let exception = child.call_method0(intern!(py, "exception"))?;
        Ok(if exception.is_none() { Self::Returned } else { Self::Raised(exception) })
    }
}

/// What a child that is done adds to the results.
#[inline]
fn result_of<'py>(child: &Bound<'py, PyAny>) -> Returned<'py> {
    let py = child.py();
    match End::of(child)? {
        End::Raised(exception) => Ok(exception),
        End::Returned => match native_future(child) {
            Some(native) => native.result(py),
            None => child.call_method0(intern!(py, "result")),
        },
        End::Cancelled => {
            let message = child.getattr(intern!(py, "_cancel_message"))?;
            let message =
                if message.is_none() { PyString::new(py, "").into_any() } else { message };
            imported::cancelled_error(py)?.call1((message,))
        }
    }
}

/// The `CancelledError` of a child that was cancelled.
fn cancelled_error<'py>(child: &Bound<'py, PyAny>) -> Returned<'py> {
    let py = child.py();
    match native_future(child) {
        Some(native) => native.cancelled_error(py),
        None => child.call_method0(intern!(py, "_make_cancelled_error")),
    }
}

impl Gathering {
    /// One that nothing has been put into.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn create(py: Python<'_>, return_exceptions: bool) -> PyResult<Bound<'_, Self>> {
        let gathered = Gathered {
            children: Children::default(),
            finished: 0,
            arrived: VecDeque::new(),
            context: Some(Owned::new(context::copy_current(py)?)),
            return_exceptions,
            cancel_requested: false,
        };
        let gathered = AttachedCell::new(gathered);
        object::create(py, Self { base: Future::default(), gathered })
    }

    /// Becomes a future of `event_loop`, of `children`.
    ///
    /// # Errors
    /// In debug mode what taking the stack raises.
    pub(super) fn begin<'py>(
        slf: &Bound<'py, Self>,
        event_loop: &Bound<'py, PyAny>,
        children: Children,
    ) -> PyResult<()> {
        let py = slf.py();
        let gathering = slf.contents();
        gathering.gathered.with(py, |gathered| gathered.children = children);
        gathering.base.begin(py, Some(event_loop))
    }

    /// In which its callbacks run.
    pub(crate) fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        let context = self.gathered.with(py, |it| it.context.as_ref().map(|it| it.get(py)));
        context.unwrap_or_else(|| none(py))
    }

    /// A child is done, for which the caller puts an entry into the loop's queue.
    #[inline]
    pub(crate) fn arrives(&self, child: &Bound<'_, PyAny>) {
        let arrived = Owned::new(child.clone());
        self.gathered.with(child.py(), |gathered| gathered.arrived.push_back(arrived));
    }

    /// An entry of the loop's: the next child that has arrived is seen to.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; what else is raised has been reported.
    pub(crate) fn run(core: &Bound<'_, LoopCore>, slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let child = slf.contents().gathered.with(py, |gathered| gathered.arrived.pop_front());
        let Some(child) = child else { return Ok(()) };
        match Self::child_is_done(slf, &child.bind(py)) {
            Ok(()) => Ok(()),
            Err(error) => report(core, slf.as_any(), error),
        }
    }

    /// # Errors
    /// What somebody else's future raises.
    pub(super) fn child_is_done<'py>(
        slf: &Bound<'py, Self>,
        child: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let gathering = slf.contents();
        let (is_last, return_exceptions) = gathering.gathered.with(py, |gathered| {
            gathered.finished += 1;
            (gathered.finished == gathered.children.each.len(), gathered.return_exceptions)
        });
        let end = End::of(child)?;
        let waits = gathering
            .base
            .state
            .with(py, |state| state.event_loop.is_some() && state.status == Status::Pending);
        if !waits {
            return Ok(());
        }
        match end {
            End::Cancelled if !return_exceptions => {
                gathering.base.set_exception(slf.as_any(), &cancelled_error(child)?)
            }
            End::Raised(exception) if !return_exceptions => {
                gathering.base.set_exception(slf.as_any(), &exception)
            }
            _ if is_last => Self::finish(slf),
            _ => Ok(()),
        }
    }

    /// All children are done.
    fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let gathering = slf.contents();
        let count = gathering.gathered.with(py, |gathered| gathered.children.len());
        let mut results = Vec::with_capacity(count);
        for argument in 0..count {
            // Asking somebody else's future may run anything.
            let child = gathering.gathered.with(py, |gathered| gathered.children.get(argument));
            let Some(child) = child else { return Ok(()) };
            results.push(result_of(&child.bind(py))?);
        }
        let (cancel_requested, last) = gathering.gathered.with(py, |gathered| {
            (gathered.cancel_requested, gathered.children.get(count.saturating_sub(1)))
        });
        if let Some(last) = last.filter(|_| cancel_requested) {
            // Whatever the children made of it.
            let error = cancelled_error(&last.bind(py))?;
            return gathering.base.set_exception(slf.as_any(), &error);
        }
        gathering.base.set_result(slf.as_any(), PyList::new(py, results)?.into_any())
    }
}

/// What a child calls that is not ours, or whose loop is not.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn bound_child_is_done<'py>(slf: &Bound<'py, Gathering>) -> Returned<'py> {
    static CHILD_IS_DONE: Method = with_object!(Gathering, c"_done_callback", done_callback, c"");
    bound(slf, &CHILD_IS_DONE)
}

fn done_callback<'py>(slf: &Bound<'py, Gathering>, child: &Bound<'py, PyAny>) -> Returned<'py> {
    Gathering::child_is_done(slf, child).map(|()| none(slf.py()))
}

fn cancel<'py>(slf: &Bound<'py, Gathering>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    let message = call.sorted(&CANCEL)?.positional[0];
    let gathering = slf.contents();
    if !gathering.base.is_pending(py) {
        return Ok(boolean(py, false));
    }
    let mut argument = 0;
    let mut any = false;
    while let Some(child) = gathering.gathered.with(py, |it| it.children.get(argument)) {
        any |= cancel_future(&child.bind(py), message.as_deref())?;
        argument += 1;
    }
    if any {
        // Which the children may take for a result.
        gathering.gathered.with(py, |gathered| gathered.cancel_requested = true);
    }
    Ok(boolean(py, any))
}

fn children<'py>(slf: &Bound<'py, Gathering>) -> Returned<'py> {
    let py = slf.py();
    let all: Vec<Owned> = slf.contents().gathered.with(py, |gathered| {
        let children = &gathered.children;
        (0..children.len()).filter_map(|argument| children.get(argument)).collect()
    });
    PyList::new(py, all.iter().map(|child| child.get(py))).map(Bound::into_any)
}

fn cancel_requested<'py>(slf: &Bound<'py, Gathering>) -> Returned<'py> {
    let py = slf.py();
    Ok(boolean(py, slf.contents().gathered.with(py, |gathered| gathered.cancel_requested)))
}
