//! `cargo xtask miri`: runs the tests of the core in Miri, which detects undefined behaviour: accesses
//! out of bounds, reads of uninitialized memory, invalid values.

use crate::run::{ask, exec};
use crate::tool::nightly_cargo;
use crate::workspace::Workspace;
use anyhow::{Result, bail};

/// Cases of each property test. Miri is about a thousand times slower than compiled code.
const CASES: &str = "4";

/// Arguments of `cargo miri test`, one run each.
const RUNS: [&[&str]; 4] = [
    &["--package", "xstun-core", "--lib"],
    &[
        "--package",
        "xstun",
        "--no-default-features",
        "--lib",
        "--",
        "stun::",
        "frame::",
        "answer::",
        "served::",
    ],
    &["--package", "xstun", "--no-default-features", "--test", "conformance"],
    // The book of frames: its tokens and its model, without the kernel's rings behind them.
    &["--package", "xstun", "--lib", "--", "rings"],
];

/// Runs the tests.
///
/// # Errors
/// Miri is missing; the error says how to install it. Or a test fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut version = nightly_cargo("Miri needs")?;
    if ask(version.args(["miri", "--version"])).is_none() {
        bail!("Miri is missing: run `rustup component add miri rust-src --toolchain nightly`");
    }
    for run in RUNS {
        let mut cargo = nightly_cargo("Miri needs")?;
        cargo.current_dir(&workspace.root).env("CARGO_TARGET_DIR", workspace.target.join("miri"));
        // proptest reads the environment and the clock, which isolation forbids.
        cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", CASES);
        if workspace.ebpf_object().exists() {
            cargo.env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
        }
        exec(cargo.args(["miri", "test"]).args(run))?;
    }
    Ok(())
}
