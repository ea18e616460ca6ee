//! The requests that the benchmarks measure with.

pub mod shapes;
