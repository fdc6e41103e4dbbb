//! What several examples share: their data, a server to download it from, and the smallest client.
#![allow(dead_code, reason = "each example uses some of it")]

pub(crate) mod data;
pub(crate) mod file_server;
pub(crate) mod http_get;
