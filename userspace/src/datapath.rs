//! Which path serves, and why.

pub mod drivers;
pub mod socket;
