//! What the benches share: the requests that they measure with.

pub mod shapes;
