//! The STUN protocol: one function, [`respond`](fn@respond), from a message to its reply.
//!
//! It knows no Ethernet, sockets, clocks, threads or logs. A request that real clients send takes the plain
//! path ([`plain`]), which needs nothing but arrays; what the operator switched on, or what a request asks
//! for beyond its address, takes the extended path, which is apart and cold.

mod crc;
mod fingerprint;
mod permission;
pub mod plain;
mod plain_request;
#[cfg(feature = "alloc")]
mod responder;
mod wire;

pub use fingerprint::TransactionCrc;
pub use permission::Permission;
pub(crate) use plain_request::PlainRequest;
#[cfg(feature = "alloc")]
pub use responder::{
    AlternateServer, Answer, Change, Discovery, Exchange, Extras, Policy, REPLY_ROOM, Software, Transport,
    credentials, integrity, respond,
};
pub use wire::Dialect;
