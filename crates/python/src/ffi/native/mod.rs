//! Native classes: Python types laid out by hand, whose methods take their arguments as the
//! interpreter passes them.
//!
//! PyO3's classes are comfortable, and cost a few hundred nanoseconds a call; what happens per
//! callback or per task step cannot afford that. A class is a Rust struct, the object's contents,
//! with safe functions as its methods; this folder has the unsafe part once for all of them.

pub(crate) mod arguments;
pub(crate) mod class;
mod dealloc;
mod free_list;
#[cfg(not(Py_GIL_DISABLED))]
pub(crate) mod living;
pub(crate) mod method;
pub(crate) mod object;
