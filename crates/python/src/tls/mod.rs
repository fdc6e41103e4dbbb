//! TLS: what runs per record, in front of asyncio's `SSLProtocol`, whose code the rest is.

mod attributes;
pub(crate) mod protocol;
mod receive;
mod send;
mod session;
