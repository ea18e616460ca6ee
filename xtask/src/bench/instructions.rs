//! `cargo xtask bench --instructions`: counts the instructions of each piece of the fast path for each
//! shape of request with callgrind, and compares them with the table in the repository. The counts do not
//! depend on the load of the machine.

mod table;

use crate::run::{exec, output};
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use table::Table;

/// The pieces, as `bench/src/bin/instructions.rs` names its functions (after `counted_`) and as it prints
/// them.
const PIECES: [(&str, &str); 6] = [
    ("answer", "answer"),
    ("classify", "classify"),
    ("parse", "parse (frame::locate, frame::check)"),
    ("respond", "stun::respond"),
    ("rewrite", "reply (frame::rewrite)"),
    ("checksum", "checksum of the message"),
];

/// Path of the table for this machine's architecture, below the workspace's root.
fn kept_in() -> String {
    format!("bench/instructions-{}.json", std::env::consts::ARCH)
}

/// Counts, prints the table, and compares it with the recorded one; with `bless`, records it instead.
///
/// # Errors
/// A count grew by more than the table's tolerance (each is named), or a command failed.
pub(super) fn run(workspace: &Workspace, bless: bool) -> Result<()> {
    setup::run(workspace, Needs::INSTRUCTIONS)?;
    exec(workspace.cargo().args([
        "build",
        "--release",
        "--package",
        "xstun-bench",
        "--bin",
        "instructions",
    ]))?;
    let program = workspace.target.join("release/instructions");
    let counted = count(&program, &workspace.target.join("callgrind"))?;
    let name = kept_in();
    let kept_at = workspace.root.join(&name);
    let kept = match fs::read_to_string(&kept_at) {
        Ok(text) => Table::from_json(&text).with_context(|| format!("{name} is not readable"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Table::default(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", kept_at.display())),
    };
    println!("{}", counted.beside(&kept));
    for bar in counted.bars() {
        println!("{bar}");
    }
    if bless {
        fs::write(&kept_at, counted.to_json())
            .with_context(|| format!("cannot write {}", kept_at.display()))?;
        println!("recorded in {name}");
        return Ok(());
    }
    let faults = counted.faults(&kept);
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "counts differ from {name} (`cargo xtask bench --instructions --bless` records the new ones):\n  {}",
        faults.join("\n  ")
    )
}

/// Runs the program under callgrind once per piece: callgrind starts and stops counting at one function.
fn count(program: &Path, directory: &Path) -> Result<Table> {
    let mut table = Table::default();
    for (function, piece) in PIECES {
        // Deletes the parts of an earlier run.
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot delete {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--tool=callgrind"]);
        valgrind.arg(format!("--callgrind-out-file={}", directory.join("part").display()));
        valgrind.arg(format!("--toggle-collect=instructions::counted_{function}"));
        valgrind.arg(format!("--dump-after=instructions::counted_{function}"));
        let printed = output(valgrind.arg(program))?;
        let calls = printed.lines().filter_map(|line| call(line, piece));
        for (index, (second, shape)) in calls.enumerate() {
            let part = directory.join(format!("part.{}", index + 1));
            let text = fs::read_to_string(&part)
                .with_context(|| format!("callgrind wrote no {} for {piece}, {shape}", part.display()))?;
            let total = total(&text).with_context(|| format!("no total in {}", part.display()))?;
            if second {
                table.insert(piece, shape, total);
            }
        }
    }
    Ok(table)
}

/// Whether the line is about the second call of `piece`, and the shape; `None` for a call of another
/// piece.
fn call<'a>(line: &'a str, piece: &str) -> Option<(bool, &'a str)> {
    let mut words = line.split('\t');
    let (order, called, shape) = (words.next()?, words.next()?, words.next()?);
    (called == piece).then_some((order == "second", shape))
}

/// The total of one part of callgrind's output.
fn total(part: &str) -> Option<u64> {
    part.lines()
        .find_map(|line| line.strip_prefix("totals: "))?
        .trim()
        .parse()
        .ok()
        .filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::{call, total};

    #[test]
    fn calls_of_other_pieces_are_ignored() {
        assert_eq!(call("first\tanswer\tIPv4 bare", "answer"), Some((false, "IPv4 bare")));
        assert_eq!(call("second\tanswer\tIPv6 bare", "answer"), Some((true, "IPv6 bare")));
        assert_eq!(call("second\tclassify\tIPv4 bare", "answer"), None);
        assert_eq!(call("noise", "answer"), None);
    }

    #[test]
    fn a_part_that_counted_nothing_is_no_count() {
        assert_eq!(total("events: Ir\nsummary: 676\n\ntotals: 676\n"), Some(676));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }
}
