//! Worker processes: how calls and results travel ([`framing`]), how a worker is watched and ended
//! ([`process`]), and what a worker does all day ([`serving`]).
//!
//! A worker is a child process with one end of a socket pair as its standard input. The loop keeps
//! the other end and a pidfd (`pidfd_open(2)`): both are descriptors like any other, so the loop
//! itself drives its workers, with no thread beside it.

pub mod framing;
pub mod process;
pub mod serving;
