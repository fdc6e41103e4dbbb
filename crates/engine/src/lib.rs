//! The event loop inside Rondel: one thread, one loop, no Python and no protocol.
//!
//! # One turn, from wake-up to park
//!
//! A loop sleeps in exactly one place, [`driver`], and everything that can wake it is a watched
//! descriptor or a deadline: sockets, pipes and signals are descriptors, and so is the eventfd
//! with which other threads say that they left something in the [`inject`] inbox. An `io_uring`, a
//! pidfd or a worker process's pipe is one more descriptor, and needs nothing new here.
//!
//! Awake again, the turn gathers into the one FIFO ([`ready`]): what other threads injected, the
//! waiters of descriptors that became ready ([`Direction`]), and what [`timers`] have come due, in
//! that order, behind whatever was still waiting. Rust futures are resumed through their Wakers,
//! which push a runnable; a door's callbacks go into the queue as they are, with no box.
//!
//! Then the turn draws its mark and runs what lies before it. What those callbacks add is the
//! next turn's, so no callback, however eager, can keep sockets and timers waiting. When the batch
//! has run, the door gets one moment to do what is best done once ([`Door::batch_ran`]: it sends
//! what the batch wrote), and the loop parks again: not at all if anything is ready, otherwise
//! until the next deadline. A loop that was told to ([`EventLoop::set_spin`]) looks for a while
//! before it sleeps ([`spin`]).
//!
//! The loop is a value ([`EventLoop`]) that never calls back; [`run`] drives it on behalf of a
//! [`Door`], which decides where the value lives and what a callback is.
//!
//! Blocking work leaves the thread through [`offload`], and goes to other processes through
//! [`workers`]; signals come in through [`signal`].

pub mod clock;
pub mod driver;
mod event_loop;
mod fork;
pub mod inject;
mod notify;
pub mod offload;
pub mod ready;
pub mod signal;
mod sources;
pub mod spin;
pub mod timers;
pub mod workers;

pub use event_loop::{Door, EventLoop, Parking, Remains, run, turn};
pub use notify::Notify;
pub use ready::Ready;
pub use sources::Direction;
pub use timers::TimerKey;
