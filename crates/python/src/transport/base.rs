//! `BaseTransport`: what every transport is, whatever it carries. A descriptor, the protocol that
//! is told about it, and where the two are in their life.
//!
//! What asyncio's own transports do, in which order and with which messages, is the
//! specification. What differs between the kinds of transport is [`Transport`].

use std::os::fd::RawFd;

use pyo3::PyClass;
use pyo3::PyVisit;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyString, PyTuple};
use rondel_engine::{Direction, Notify};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::accepted::AcceptedSocket;
use super::flow_control::WaterMarks;
use super::lifetime;
use crate::callback::Callback;
use crate::errors::errno_error;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context;
use crate::ffi::descriptor::HeldDescriptor;
use crate::ffi::listed::{Place, listed_by_number};
use crate::imported;

/// What happens to a transport from outside: one entry of the ready queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Is new: tells its protocol, then begins to read.
    Start,
    /// Its descriptor is readable.
    Read,
    /// It has unsent data, and its descriptor is writable.
    Write,
    /// Is done: tells its protocol, then lets everything go.
    Lost,
}

/// A kind of transport.
pub(crate) trait Transport: PyClass<BaseType = BaseTransport, Frozen = True> + Sync {
    /// The queue's entry for a step of this transport.
    fn callback(step: Step, transport: Py<Self>) -> Callback;

    fn read_ready(slf: &Bound<'_, Self>) -> PyResult<()>;

    fn write_ready(slf: &Bound<'_, Self>) -> PyResult<()>;

    /// How many bytes wait to be sent, as flow control counts them.
    fn unsent(&self, py: Python<'_>) -> usize;

    /// Drops what waits to be sent.
    fn drop_unsent(slf: &Bound<'_, Self>);

    /// Lets go of what only this kind of transport holds, when the descriptor is closed.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()>;
}

impl Step {
    #[inline]
    pub(crate) fn run<T: Transport>(self, transport: &Bound<'_, T>) -> PyResult<()> {
        match self {
            Self::Start => lifetime::start(transport),
            Self::Read => T::read_ready(transport),
            Self::Write => T::write_ready(transport),
            Self::Lost => lifetime::lost(transport),
        }
    }
}

/// What is true of a transport now.
#[allow(clippy::struct_excessive_bools)] // each is one of asyncio's own flags
pub(super) struct Life {
    /// The object that owns the descriptor: a socket or what stands for it, or a pipe's file object;
    /// `None` once the connection is lost.
    pub(super) owner: Option<Py<PyAny>>,
    /// The owner, or who was, if it is such a one and `extra` does not describe it yet.
    accepted: Option<Py<AcceptedSocket>>,
    /// What `get_extra_info` tells; of an accepted connection made when somebody asks first.
    extra: Option<Py<PyDict>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// The protocol's method, until it has been called.
    pub(super) connection_made: Option<Py<PyAny>>,
    /// The future that is done when `connection_made` has been called.
    pub(super) waiter: Option<Py<PyAny>>,
    /// In which the protocol's callbacks run: the one that was given, or a copy of the one in which
    /// the transport was made.
    pub(super) context: Py<PyAny>,
    /// A context was given, as asyncio does from Python 3.15 on: all callbacks run in that very
    /// one. Otherwise what `connection_made` and `connection_lost` set is their own affair.
    pub(super) context_is_shared: bool,
    /// The exception for `connection_lost`, and the context it is called in.
    pub(super) lost_with: Option<Box<(Py<PyAny>, Py<PyAny>)>>,
    pub(super) marks: WaterMarks,
    pub(super) protocol_paused: bool,
    /// `close()` or `abort()` was called, or an error was fatal.
    pub(super) closing: bool,
    /// Above zero when `connection_lost` is due; then counts the writes that came too late.
    pub(super) connection_lost: u32,
    pub(super) paused: bool,
    /// Waits until the descriptor is writable again.
    pub(super) writing: bool,
}

/// What the transports have in common; `asyncio.BaseTransport` by interface.
#[pyclass(subclass, frozen, weakref, module = "rondel._rondel")]
pub(crate) struct BaseTransport {
    pub(super) event_loop: Py<LoopCore>,
    pub(super) descriptor: HeldDescriptor,
    /// Among the loop's transports.
    place: Place,
    life: AttachedCell<Life>,
}

listed_by_number!(BaseTransport, place);

/// What a transport has in common with all others.
#[inline]
pub(super) fn base<'a, T: Transport>(slf: &'a Bound<'_, T>) -> &'a BaseTransport {
    slf.as_super().get()
}

/// Has the transport's step run whenever its descriptor is ready.
pub(super) fn watch<T: Transport>(slf: &Bound<'_, T>, direction: Direction) -> PyResult<()> {
    let step = match direction {
        Direction::Read => Step::Read,
        Direction::Write => Step::Write,
    };
    let base = base(slf);
    let callback = T::callback(step, slf.clone().unbind());
    base.core().watch(slf.py(), base.descriptor.number(), direction, callback)
}

/// Ends what [`watch`] began. A watch of somebody else's, whose file has taken the number of a pipe
/// that was closed without a word, is left alone.
pub(super) fn unwatch<T: Transport>(slf: &Bound<'_, T>, direction: Direction) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let fd = base.descriptor.number();
    let own = base.core().with_engine(py, |engine| match engine.waiter(fd, direction) {
        Some(Notify::Callback(callback)) => callback.is(slf),
        _ => false,
    });
    if own.unwrap_or(false) {
        base.core().unwatch(py, fd, direction)?;
    }
    Ok(())
}

/// Logs `message`, whose `%r` is the transport, in debug mode.
pub(super) fn log_in_debug<T: Transport>(slf: &Bound<'_, T>, message: &str) -> PyResult<()> {
    let py = slf.py();
    if base(slf).core().is_debug() {
        let logger = imported::logger(py)?;
        logger.call_method1(intern!(py, "debug"), (message, slf))?;
    }
    Ok(())
}

impl BaseTransport {
    /// For a non-blocking socket that is now the transport's.
    pub(super) fn of_socket<'py>(
        event_loop: &Bound<'py, LoopCore>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let accepted = sock.cast_exact::<AcceptedSocket>().ok();
        let fd: RawFd = match accepted {
            Some(accepted) => accepted.get().number(py),
            None => sock.call_method0(intern!(py, "fileno"))?.extract()?,
        };
        if fd < 0 {
            return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
        }
        let mut extra = extra.map(|extra| extra.copy()).transpose()?;
        let connection_made = protocol.getattr(intern!(py, "connection_made"))?;
        if accepted.is_none() {
            let extra = extra.get_or_insert_with(|| PyDict::new(py));
            describe_socket(event_loop.get(), extra, sock)?;
        }
        let owned = (sock, HeldDescriptor::new(fd));
        let made =
            Self::new(event_loop, owned, (protocol, connection_made), waiter, extra, context)?;
        made.with(py, |life| life.accepted = accepted.map(|it| it.clone().unbind()));
        Ok(made)
    }

    /// For a file object that is now the transport's: a pipe, a socket or a character device,
    /// which is made non-blocking.
    ///
    /// # Errors
    /// `ValueError` with `refusal` for any other file.
    pub(super) fn of_pipe<'py>(
        event_loop: &Bound<'py, LoopCore>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        refusal: &'static str,
    ) -> PyResult<(Self, FileType)> {
        let py = event_loop.py();
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        extra.set_item(intern!(py, "pipe"), pipe)?;
        let fd: RawFd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
        if fd < 0 {
            return Err(errno_error(py, Errno::BADF));
        }
        let descriptor = HeldDescriptor::new(fd);
        let kind = descriptor.file_type().map_err(|errno| errno_error(py, errno))?;
        if !matches!(kind, FileType::Fifo | FileType::Socket | FileType::CharacterDevice) {
            return Err(PyValueError::new_err(refusal));
        }
        descriptor.set_nonblocking().map_err(|errno| errno_error(py, errno))?;
        let connection_made = protocol.getattr(intern!(py, "connection_made"))?;
        let owned = (pipe, descriptor);
        Self::new(event_loop, owned, (protocol, connection_made), waiter, Some(extra), None)
            .map(|base| (base, kind))
    }

    /// `connection_made` is bound already and not when it is called: what is no protocol fails at
    /// once.
    fn new<'py>(
        event_loop: &Bound<'py, LoopCore>,
        (owner, descriptor): (&Bound<'py, PyAny>, HeldDescriptor),
        (protocol, connection_made): (&Bound<'py, PyAny>, Bound<'py, PyAny>),
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let context_is_shared = context.is_some();
        let context = match context {
            Some(context) => context.unbind(),
            None => context::copy_current(py)?.unbind(),
        };
        let life = Life {
            owner: Some(owner.clone().unbind()),
            accepted: None,
            extra: extra.map(Bound::unbind),
            protocol: Some(protocol.clone().unbind()),
            connection_made: Some(connection_made.unbind()),
            waiter: waiter.map(Bound::unbind),
            context,
            context_is_shared,
            lost_with: None,
            marks: WaterMarks::default(),
            protocol_paused: false,
            closing: false,
            connection_lost: 0,
            paused: false,
            writing: false,
        };
        lifetime::hold_open(owner)?;
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            descriptor,
            place: Place::default(),
            life: AttachedCell::new(life),
        })
    }

    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut Life) -> R) -> R {
        self.life.with(py, f)
    }

    pub(super) fn core(&self) -> &LoopCore {
        self.event_loop.get()
    }

    /// What `get_extra_info` tells.
    pub(super) fn known<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        let known = self.with(py, |life| life.extra.as_ref().map(|extra| extra.clone_ref(py)));
        let known = known.unwrap_or_else(|| {
            let made = PyDict::new(py).unbind();
            // Somebody may have asked meanwhile: the collector runs anything.
            self.with(py, |life| life.extra.get_or_insert(made).clone_ref(py))
        });
        known.into_bound(py)
    }

    /// The protocol; `None` once the connection is lost.
    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |life| life.protocol.as_ref().map(|it| it.clone_ref(py).into_bound(py)))
    }

    #[inline]
    pub(super) fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.with(py, |life| life.context.clone_ref(py)).into_bound(py)
    }

    /// The context that was given, if one was.
    pub(super) fn shared_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |life| life.context_is_shared.then(|| life.context.clone_ref(py)))
            .map(|context| context.into_bound(py))
    }

    /// Whether the protocol is to be told of what can be read.
    pub(super) fn is_reading(&self, py: Python<'_>) -> bool {
        self.with(py, |life| !life.closing && !life.paused)
    }

    /// The object that owns the descriptor; `None` once the connection is lost.
    pub(super) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |life| life.owner.as_ref().map(|owner| owner.clone_ref(py)))
            .map(|owner| owner.into_bound(py))
    }

    pub(super) fn set_owner(&self, py: Python<'_>, owner: Option<Py<PyAny>>) {
        // The old one is dropped out here.
        let _old = self.with(py, |life| std::mem::replace(&mut life.owner, owner));
    }

    /// Makes the socket object of an accepted connection, and enters what describes it, unless that
    /// has been done.
    ///
    /// # Errors
    /// Those of [`AcceptedSocket::make_socket`]; the next one who asks tries again.
    pub(super) fn describe_accepted(&self, py: Python<'_>) -> PyResult<()> {
        let Some(accepted) = self.with(py, |life| life.accepted.take()) else { return Ok(()) };
        let connection = accepted.get();
        let is_open = connection.number(py) >= 0;
        let last_name = connection.last_name(py)?;
        let sock = match connection.make_socket(py) {
            Ok(sock) => sock,
            Err(error) => {
                self.with(py, |life| life.accepted = Some(accepted));
                return Err(error);
            }
        };
        if is_open {
            lifetime::hold_open(&sock)?;
            self.set_owner(py, Some(sock.clone().unbind()));
        }
        let extra = self.known(py);
        extra.set_item(intern!(py, "peername"), connection.peer_name(py)?)?;
        describe_socket(self.core(), &extra, &sock)?;
        if let Some(name) = last_name {
            extra.set_item(intern!(py, "sockname"), name)?;
        }
        Ok(())
    }

    /// What the `repr` of every transport of asyncio's begins with.
    pub(super) fn begin_repr(&self, py: Python<'_>, name: &str) -> String {
        let life = self.with(py, |life| match (&life.owner, life.closing) {
            (None, _) => " closed",
            (Some(_), true) => " closing",
            (Some(_), false) => "",
        });
        format!("<{name}{life} fd={}", self.descriptor.number())
    }

    /// Whether the descriptor is watched; `None` once the connection is lost or the loop closed.
    pub(super) fn polls(&self, py: Python<'_>, direction: Direction) -> Option<&'static str> {
        if self.with(py, |life| life.owner.is_none()) {
            return None;
        }
        let fd = self.descriptor.number();
        let watched = self.core().with_engine(py, |engine| engine.waiter(fd, direction).is_some());
        watched.ok().map(|watched| if watched { "polling" } else { "idle" })
    }

    /// The `repr` of asyncio's transports of sockets.
    pub(super) fn socket_repr(&self, py: Python<'_>, name: &str, bufsize: usize) -> String {
        let begun = self.begin_repr(py, name);
        match (self.polls(py, Direction::Read), self.polls(py, Direction::Write)) {
            (Some(read), Some(write)) => {
                format!("{begun} read={read} write=<{write}, bufsize={bufsize}>>")
            }
            _ => format!("{begun}>"),
        }
    }
}

#[pymethods]
impl BaseTransport {
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.with(py, |life| life.closing)
    }

    pub(super) fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        // The old protocol is dropped out here.
        let _old = self.with(py, |life| life.protocol.replace(protocol));
    }

    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// ``socket``, ``sockname`` and ``peername``, or ``pipe``, and what the maker added.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        let extra = self.known(py);
        let mut found = extra.get_item(&name)?;
        if found.is_none() && is_of_sockets(&name) {
            self.describe_accepted(py)?;
            found = extra.get_item(name)?;
        }
        Ok(found.or(default).unwrap_or_else(|| py.None().into_bound(py)))
    }

    /// Whether `pause_reading()` is in force; whoever asks for `is_reading()` learns less.
    #[getter(_paused)]
    fn is_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |life| life.paused)
    }

    #[getter(_extra)]
    fn extra<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.describe_accepted(py)?;
        Ok(self.known(py))
    }

    /// `None` once the connection is lost.
    #[getter(_loop)]
    fn owning_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopCore>> {
        let open = self.with(py, |life| life.owner.is_some());
        open.then(|| self.event_loop.bind(py).clone())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let visited = self.life.visit(|life| {
            visit.call(&life.owner)?;
            visit.call(&life.accepted)?;
            visit.call(&life.extra)?;
            visit.call(&life.protocol)?;
            visit.call(&life.connection_made)?;
            visit.call(&life.waiter)?;
            visit.call(&life.context)?;
            life.marks.visit(visit)?;
            match life.lost_with.as_deref() {
                Some((error, context)) => visit.call(error).and_then(|()| visit.call(context)),
                None => Ok(()),
            }
        });
        visited.unwrap_or(Ok(()))
    }

    /// Breaks cycles; the finalizer has run, and the descriptor is closed.
    fn __clear__(&self) {
        let cleared = self.life.visit(|life| {
            let made = life.connection_made.take();
            let marks = std::mem::take(&mut life.marks);
            (life.protocol.take(), made, life.waiter.take(), life.lost_with.take(), marks)
        });
        drop(cleared);
    }
}

/// Whether this is what [`describe_socket`] enters. A name with a lone surrogate is nobody's, too.
fn is_of_sockets(name: &Bound<'_, PyAny>) -> bool {
    let Ok(name) = name.cast::<PyString>() else { return false };
    name.to_str().is_ok_and(|name| matches!(name, "socket" | "sockname" | "peername"))
}

/// Enters `socket`, `sockname` and, unless it is known, `peername`.
fn describe_socket(
    core: &LoopCore,
    extra: &Bound<'_, PyDict>,
    sock: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = sock.py();
    extra.set_item(intern!(py, "socket"), imported::transport_socket_class(py)?.call1((sock,))?)?;
    let ask = |method| match sock.call_method0(method) {
        Ok(name) => Ok(name),
        Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(py.None().into_bound(py)),
        Err(error) => Err(error),
    };
    let mut name = ask(intern!(py, "getsockname"))?;
    if sock.get_type().is(imported::socket_class(py)?) {
        // Python's own: a tuple of its is made of strings and numbers.
        name = match name.cast_into_exact::<PyTuple>() {
            Ok(tuple) => core.share_sockname(tuple).into_any(),
            Err(other) => other.into_inner(),
        };
    }
    extra.set_item(intern!(py, "sockname"), name)?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), ask(intern!(py, "getpeername"))?)?;
    }
    Ok(())
}
