//! Judges the surviving mutants: those that are known to be equivalent are allowed.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Changes that no test can detect, because the program behaves the same with them.
struct Equivalent {
    /// The changed file.
    file: &'static str,
    /// The changes, in the words of cargo-mutants behind file and line.
    changes: &'static [&'static str],
    /// Why the program behaves the same.
    why: &'static str,
}

const EQUIVALENTS: [Equivalent; 5] = [
    Equivalent {
        file: "core/src/answer.rs",
        changes: &[
            // In the lengths that have an arm.
            "replace + with -",
            "replace + with *",
            "delete match arm (Shape::V4, BARE) in answer",
            "delete match arm (Shape::V4, FINGERPRINTED) in answer",
            "delete match arm (Shape::V6, BARE) in answer",
            "delete match arm (Shape::V6, FINGERPRINTED) in answer",
        ],
        why: "the arms only make faster copies of the code of the last arm",
    },
    Equivalent {
        file: "core/src/stun/responder/request.rs",
        changes: &[
            "replace match guard attributes.is_empty() with false in Request::parse",
            "replace lone_fingerprint -> Option<u32> with None",
        ],
        why: "the walk over all attributes gives the same result, only slower",
    },
    Equivalent {
        file: "core/src/stun/plain.rs",
        changes: &[
            "replace lone_fingerprint -> Option<u32> with None",
            "delete match arm [0x80, 0x28, 0, 4, v0, v1, v2, v3] in lone_fingerprint",
        ],
        why: "the walk over all attributes gives the same result, only slower",
    },
    Equivalent {
        file: "core/src/frame/reply.rs",
        changes: &["replace | with ^"],
        why: "the two sides have no bit in common",
    },
    Equivalent {
        file: "core/src/stun/responder/credentials/nonce.rs",
        changes: &["replace | with ^ in Nonces::is_valid"],
        why: "no nonce belongs to two periods",
    },
];

/// How many mutants had which result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MutantCounts {
    /// All of them.
    pub(super) mutants: u64,
    /// A test failed.
    pub(super) caught: u64,
    /// They did not compile.
    pub(super) unviable: u64,
    /// The tests ran into the time limit.
    pub(super) timeout: u64,
    /// All tests passed: they survive.
    pub(super) missed: u64,
}

impl MutantCounts {
    /// Reads the counts of a pass from its directory of results.
    ///
    /// # Errors
    /// cargo-mutants left no complete results.
    pub(super) fn read(results: &Path) -> Result<Self> {
        let file = results.join("outcomes.json");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let outcomes: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
        let count =
            |key: &str| outcomes[key].as_u64().with_context(|| format!("{} has no {key}", file.display()));
        Ok(MutantCounts {
            mutants: count("total_mutants")?,
            caught: count("caught")?,
            unviable: count("unviable")?,
            timeout: count("timeout")?,
            missed: count("missed")?,
        })
    }

    /// Adds the next pass, which tested only what this one did not catch.
    pub(super) fn and_then(self, next: MutantCounts) -> Self {
        MutantCounts {
            mutants: self.mutants,
            caught: self.caught + next.caught,
            unviable: self.unviable + next.unviable,
            timeout: next.timeout,
            missed: next.missed,
        }
    }
}

/// Prints the counts and every surviving mutant, with its reason if it is a known equivalent.
///
/// # Errors
/// A mutant survives that is not a known equivalent.
pub(super) fn report(counts: MutantCounts, results: &Path) -> Result<()> {
    let MutantCounts { mutants, caught, unviable, timeout, missed } = counts;
    println!(
        "{mutants} mutants: {caught} caught, {timeout} timed out, {unviable} did not compile, {missed} survive"
    );
    let list = results.join("missed.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut unexplained = 0;
    for mutant in text.lines() {
        match equivalence(mutant) {
            Some(why) => println!("  {mutant}\n    equivalent: {why}"),
            None => {
                unexplained += 1;
                println!("  {mutant}\n    NO TEST DETECTS IT");
            }
        }
    }
    if unexplained > 0 {
        bail!("no test detects {unexplained} mutants; add tests for them (logs: {})", results.display());
    }
    Ok(())
}

/// Returns why the mutant, as `missed.txt` names it, behaves the same; `None` for one that is not known.
fn equivalence(mutant: &str) -> Option<&'static str> {
    // core/src/answer.rs:58:9: delete match arm ...
    let (place, change) = mutant.split_once(": ")?;
    let file = place.split(':').next()?;
    let known = EQUIVALENTS.iter().find(|known| known.file == file && known.changes.contains(&change))?;
    Some(known.why)
}

#[cfg(test)]
mod tests {
    use super::{MutantCounts, equivalence};

    #[test]
    fn the_next_pass_is_added_to_what_the_first_did_not_catch() {
        let first = MutantCounts { mutants: 9, caught: 4, unviable: 1, timeout: 1, missed: 3 };
        let next = MutantCounts { mutants: 4, caught: 2, unviable: 0, timeout: 1, missed: 1 };
        let both = MutantCounts { mutants: 9, caught: 6, unviable: 1, timeout: 1, missed: 1 };
        assert_eq!(first.and_then(next), both);
    }

    #[test]
    fn a_mutant_is_known_by_file_and_change_wherever_it_stands() {
        let arm = "delete match arm (Shape::V4, BARE) in answer";
        assert!(equivalence(&format!("core/src/answer.rs:58:9: {arm}")).is_some());
        assert!(equivalence(&format!("core/src/answer.rs:1:1: {arm}")).is_some());
        assert_eq!(equivalence(&format!("core/src/frame.rs:58:9: {arm}")), None);
        assert_eq!(
            equivalence("core/src/answer.rs:58:9: replace answer -> FrameAnswer with Default::default()"),
            None
        );
    }
}
