//! Whoever waits: a Rust future, or a callback of the door.

use std::task::Waker;

/// What an event or a deadline resumes.
#[derive(Clone, Debug)]
pub enum Notify<C> {
    /// A Rust future.
    Waker(Waker),
    /// A callback of the door, which goes to the ready queue.
    Callback(C),
}
