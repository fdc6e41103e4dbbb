//! TCP over the loop: streams, listeners, and the names that they are reached by.

mod listener;
mod resolve;
mod source;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use resolve::{Address, getaddrinfo};
pub use stream::TcpStream;

pub(crate) use source::Watch;
