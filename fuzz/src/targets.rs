//! What the fuzz targets do with an input, a file each. They stand here and not in the targets, so that
//! the kept corpora can be run through them by any compiler, without libFuzzer.

pub mod answer;
pub mod classify;
pub mod frame;
pub mod policies;
pub mod respond;
pub mod rings;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Target; 6] = [
    ("answer", answer::run),
    ("classify", classify::run),
    ("frame", frame::run),
    ("policies", policies::run),
    ("respond", respond::run),
    ("rings", rings::run),
];
