//! The only place that touches the C-API: each file wraps one thing that PyO3 has no safe, or no
//! cheap enough, form of.
#![allow(unsafe_code)]

pub(crate) mod attribute;
pub(crate) mod buffer;
pub(crate) mod bytes;
pub(crate) mod cell;
pub(crate) mod context;
pub(crate) mod coroutine;
pub(crate) mod descriptor;
pub(crate) mod exception;
pub(crate) mod interpreter;
pub(crate) mod listed;
pub(crate) mod native;
pub(crate) mod number;
pub(crate) mod owned;
pub(crate) mod prefetch;
