//! The STUN protocol: one function, [`respond`](fn@respond), from a message to its reply.
//!
//! It knows no Ethernet, sockets, clocks, threads or logs. A request that real clients send takes the plain
//! path ([`plain`]), which needs nothing but arrays; what the operator switched on, or what a request asks
//! for beyond its address, takes the extended path, which is apart and cold.

mod crc;
mod fingerprint;
pub mod plain;
mod wire;

pub use fingerprint::TransactionCrc;
pub use wire::Dialect;

#[cfg(feature = "alloc")]
mod authentication;
#[cfg(feature = "alloc")]
pub mod credentials;
#[cfg(feature = "alloc")]
mod discovery;
#[cfg(feature = "alloc")]
mod exchange;
#[cfg(feature = "alloc")]
mod extended;
#[cfg(feature = "alloc")]
pub mod integrity;
#[cfg(feature = "alloc")]
mod policy;
#[cfg(feature = "alloc")]
mod request;
#[cfg(feature = "alloc")]
mod requested;
#[cfg(feature = "alloc")]
mod respond;
#[cfg(feature = "alloc")]
mod walk;
#[cfg(feature = "alloc")]
mod writer;

#[cfg(feature = "alloc")]
pub use discovery::{Change, Discovery};
#[cfg(feature = "alloc")]
pub use exchange::{Answer, Exchange, REPLY_ROOM, Transport};
#[cfg(feature = "alloc")]
pub use policy::{AlternateServer, Extras, Policy, Software};
#[cfg(feature = "alloc")]
pub use respond::respond;

#[cfg(all(test, feature = "alloc"))]
mod tests;
