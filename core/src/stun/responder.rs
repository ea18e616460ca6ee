//! From a message to its reply under a [`Policy`]: everything that keeps lists, and so needs `alloc`.

mod authentication;
pub mod credentials;
mod discovery;
mod exchange;
mod extended;
pub mod integrity;
mod policy;
mod request;
mod requested;
mod respond;
mod walk;
mod writer;

// The parts of the protocol that need no list; the modules below use them as siblings.
use super::{crc, fingerprint, plain, wire};

pub use discovery::{Change, Discovery};
pub use exchange::{Answer, Exchange, REPLY_ROOM, Transport};
pub use policy::{AlternateServer, Extras, Policy, Software};
pub use respond::respond;

#[cfg(test)]
mod tests;
