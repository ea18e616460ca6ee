//! `cargo xtask miri`: the tests of what works over memory alone, run by Rust's interpreter, which sees
//! every access out of bounds, every use of memory without a value and every overflow.

use crate::run::{ask, exec};
use crate::tool::nightly_cargo;
use crate::workspace::Workspace;
use anyhow::{Result, bail};

/// Cases of each property: the interpreter takes a thousand times as long as the processor.
const CASES: &str = "4";

/// Arguments of `cargo miri test`, one run each.
const RUNS: [&[&str]; 4] = [
    &["--package", "xstun-ebpf", "--lib"],
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

/// Runs them.
///
/// # Errors
/// The interpreter is missing, which is told with the command that gets it, or a test failed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut version = nightly_cargo("the interpreter is part of")?;
    if ask(version.args(["miri", "--version"])).is_none() {
        bail!("the interpreter is missing: `rustup component add miri rust-src --toolchain nightly`");
    }
    for run in RUNS {
        let mut cargo = nightly_cargo("the interpreter is part of")?;
        cargo.current_dir(&workspace.root).env("CARGO_TARGET_DIR", workspace.target.join("miri"));
        // proptest reads the environment and the clock.
        cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", CASES);
        if workspace.ebpf_object().exists() {
            cargo.env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
        }
        exec(cargo.args(["miri", "test"]).args(run))?;
    }
    Ok(())
}
