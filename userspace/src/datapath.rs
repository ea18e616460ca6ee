//! Which path serves, and why.

pub mod socket;
