//! What the root-only tests stand on: network namespaces, raw frames, the server as a process.

pub(crate) mod ask;
pub(crate) mod lab;

pub(crate) mod packets;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod transaction;
pub(crate) mod wire;
