//! The code of the fuzz targets, one file each. It is in this library so that any compiler can run the kept
//! corpora through it, without libFuzzer.

pub mod answer;
pub mod classify;
pub mod frame;
pub mod policies;
pub mod respond;
pub mod rings;

/// A target: its name, and the function that takes an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 6] = [
    ("answer", answer::run),
    ("classify", classify::run),
    ("frame", frame::run),
    ("policies", policies::run),
    ("respond", respond::run),
    ("rings", rings::run),
];
