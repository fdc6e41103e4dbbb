//! Why a call in another process has no result.

use std::fmt;
use std::io;
use std::process::ExitStatus;

/// Why a call that was given to a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor) has no
/// result. It concerns that call alone: the pool goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// It was cancelled, or the executor was shut down, or the loop ended.
    Cancelled,
    /// The function panicked, with this message. Its worker lives on.
    Panicked(String),
    /// The worker process ended while it made the call: how, if nobody else waited for it.
    WorkerDied(Option<ExitStatus>),
    /// No worker process could be started.
    NotStarted(io::Error),
    /// The function of this name is none that [`Worker::register`](crate::Worker::register) was
    /// given.
    NotRegistered(&'static str),
    /// The argument or the result cannot be sent: serde's account of why.
    NotSent(String),
}

impl ProcessError {
    /// Whether the call was cancelled.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Whether the function panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Whether the worker process ended while it made the call.
    pub const fn is_worker_death(&self) -> bool {
        matches!(self, Self::WorkerDied(_))
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::WorkerDied(Some(status)) => write!(f, "the worker process died ({status})"),
            Self::WorkerDied(None) => f.write_str("the worker process died"),
            Self::NotStarted(error) => write!(f, "no worker process could be started: {error}"),
            Self::NotRegistered(name) => write!(
                f,
                "{name} is not registered: main() must begin with Worker::new().register({name})\
                 .serve()"
            ),
            Self::NotSent(error) => write!(f, "the argument or the result cannot be sent: {error}"),
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ProcessError> for io::Error {
    /// An error of kind `Other`, for `?` in functions that do I/O.
    fn from(error: ProcessError) -> Self {
        Self::other(error)
    }
}
