//! Why what was awaited has no value.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::resume_unwind;

/// Why a task, or a call in a thread, ended without a value.
pub enum JoinError {
    /// It was cancelled before it was done.
    Cancelled,
    /// It panicked; this is what [`std::panic::catch_unwind`] caught.
    Panicked(Box<dyn Any + Send + 'static>),
}

impl JoinError {
    /// Whether it was cancelled.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Whether it panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The panic's message, if it had one.
    pub fn panic_message(&self) -> Option<&str> {
        let Self::Panicked(payload) = self else { return None };
        let text = payload.downcast_ref::<&str>().copied();
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
    }

    /// Lets the panic go on here.
    ///
    /// # Panics
    /// With the panic that was caught, or that a cancellation was not expected.
    pub fn resume(self) -> ! {
        match self {
            Self::Panicked(payload) => resume_unwind(payload),
            Self::Cancelled => panic!("{self}"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.panic_message()) {
            (Self::Cancelled, _) => f.write_str("cancelled"),
            (Self::Panicked(_), Some(message)) => write!(f, "panicked: {message}"),
            (Self::Panicked(_), None) => f.write_str("panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    /// An error of kind `Other`, for `?` in functions that do I/O.
    fn from(error: JoinError) -> Self {
        // A payload need not be Sync, as io::Error must.
        Self::other(error.to_string())
    }
}
