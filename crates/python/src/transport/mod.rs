//! Native transports: what runs per packet.

pub(crate) mod accept;
pub(crate) mod base;
mod flow_control;
mod lifetime;
mod outgoing;
mod read;
pub(crate) mod receive;
pub(crate) mod stream;
mod write;
