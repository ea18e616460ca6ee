//! `cargo xtask miri`: runs the tests of the core in Miri, which detects undefined behaviour: accesses
//! out of bounds, reads of uninitialized memory, invalid values.

use crate::run::{ask, exec};
use crate::tool::nightly_cargo;
use crate::workspace::Workspace;
use anyhow::{Result, bail};

/// Cases of each property test. Miri is about a thousand times slower than compiled code.
const CASES: &str = "4";

/// Arguments of `cargo miri test`: the unit tests, the conformance table, and the book of frames.
const TESTS: [&str; 7] = ["--package", "xstun-core", "--lib", "--test", "conformance", "--test", "rings"];

/// Runs the tests.
///
/// # Errors
/// Miri is missing; the error says how to install it. Or a test fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut version = nightly_cargo("Miri needs")?;
    if ask(version.args(["miri", "--version"])).is_none() {
        bail!("Miri is missing: run `rustup component add miri rust-src --toolchain nightly`");
    }
    let mut cargo = nightly_cargo("Miri needs")?;
    cargo.current_dir(&workspace.root).env("CARGO_TARGET_DIR", workspace.target.join("miri"));
    // proptest reads the environment and the clock, which isolation forbids.
    cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", CASES);
    exec(cargo.args(["miri", "test"]).args(TESTS))
}
