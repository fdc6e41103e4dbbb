//! Native transports: what runs per packet.

pub(crate) mod accept;
mod accepted;
pub(crate) mod address;
pub(crate) mod base;
pub(crate) mod clients;
pub(crate) mod datagram;
mod flow_control;
mod lifetime;
mod outgoing;
mod read;
pub(crate) mod read_pipe;
pub(crate) mod receive;
pub(crate) mod stream;
mod write;
pub(crate) mod write_pipe;
