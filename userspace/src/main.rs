//! The `xstun` program.
fn main() {}
