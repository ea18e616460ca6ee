//! What tests, fuzzers and benches share: messages and frames from independent builders, a plain reference of the
//! core, the conformance table, and a laboratory of network namespaces.
//!
//! Everything but the laboratory (feature `lab`) works over memory alone. A helper that meets what it cannot build
//! or parse panics: that is a failed test.

pub mod conformance;
pub mod frames;
pub mod judge;
#[cfg(feature = "lab")]
pub mod lab;
pub mod messages;
pub mod plain;
pub mod random;
pub mod reference;
pub mod ring_model;
#[cfg(feature = "strategies")]
pub mod strategies;
pub mod wait;
