//! What became of the mutants: counts, and which of those that live may.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Changes that no test can notice, since the program does the same with them.
struct Equivalent {
    /// The file that is changed.
    file: &'static str,
    /// The changes, as cargo-mutants words them behind the place.
    changes: &'static [&'static str],
    why: &'static str,
}

const EQUIVALENTS: [Equivalent; 4] = [
    Equivalent {
        file: "src/answer.rs",
        changes: &[
            // Of the lengths that have an arm.
            "replace + with -",
            "replace + with *",
            "delete match arm (Shape::V4, BARE) in answer",
            "delete match arm (Shape::V4, FINGERPRINTED) in answer",
            "delete match arm (Shape::V6, BARE) in answer",
            "delete match arm (Shape::V6, FINGERPRINTED) in answer",
        ],
        why: "the arms are copies of the code for the rest, and only faster",
    },
    Equivalent {
        file: "src/stun/request.rs",
        changes: &[
            "delete match arm [] in Request::parse",
            "replace match guard dialect == Dialect::Cookie with false in Request::parse",
        ],
        why: "the walk over all attributes finds the same, and only slower",
    },
    Equivalent {
        file: "src/frame/reply.rs",
        changes: &["replace | with ^"],
        why: "the bits of both sides are apart",
    },
    Equivalent {
        file: "src/stun/credentials/nonce.rs",
        changes: &["replace | with ^ in Nonces::is_valid"],
        why: "no nonce is that of two periods",
    },
];

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) mutants: u64,
    pub(super) caught: u64,
    pub(super) unviable: u64,
    pub(super) timeout: u64,
    pub(super) missed: u64,
}

impl Counts {
    /// Those of the pass whose results stand in `results`.
    pub(super) fn read(results: &Path) -> Result<Self> {
        let file = results.join("outcomes.json");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let outcomes: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        let count = |key: &str| outcomes[key].as_u64().with_context(|| format!("it counts no {key}"));
        Ok(Counts {
            mutants: count("total_mutants")?,
            caught: count("caught")?,
            unviable: count("unviable")?,
            timeout: count("timeout")?,
            missed: count("missed")?,
        })
    }

    /// With the next pass, which was asked about what this one did not catch.
    pub(super) fn and_then(self, next: Counts) -> Self {
        Counts {
            mutants: self.mutants,
            caught: self.caught + next.caught,
            unviable: self.unviable + next.unviable,
            timeout: next.timeout,
            missed: next.missed,
        }
    }
}

/// Prints the counts and every mutant that lives, those that may with their reason.
///
/// # Errors
/// One lives that should not.
pub(super) fn tell(counts: Counts, results: &Path) -> Result<()> {
    let Counts { mutants, caught, unviable, timeout, missed } = counts;
    println!(
        "{mutants} mutants: {caught} caught, {timeout} never ended, {unviable} did not compile, {missed} live"
    );
    let list = results.join("missed.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut unexplained = 0;
    for mutant in text.lines() {
        match explained(mutant) {
            Some(why) => println!("  {mutant}\n    the program does the same: {why}"),
            None => {
                unexplained += 1;
                println!("  {mutant}\n    NO TEST NOTICES IT");
            }
        }
    }
    if unexplained > 0 {
        bail!("{unexplained} mutants live that should not; {} has their logs", results.display());
    }
    Ok(())
}

/// Why the mutant, as `missed.txt` names it, does the same.
fn explained(mutant: &str) -> Option<&'static str> {
    // src/answer.rs:58:9: delete match arm ...
    let (place, change) = mutant.split_once(": ")?;
    let file = place.split(':').next()?;
    let known = EQUIVALENTS.iter().find(|known| known.file == file && known.changes.contains(&change))?;
    Some(known.why)
}

#[cfg(test)]
mod tests {
    use super::{Counts, explained};

    #[test]
    fn a_pass_is_asked_about_what_the_one_before_did_not_catch() {
        let first = Counts { mutants: 9, caught: 4, unviable: 1, timeout: 1, missed: 3 };
        let next = Counts { mutants: 4, caught: 2, unviable: 0, timeout: 1, missed: 1 };
        let both = Counts { mutants: 9, caught: 6, unviable: 1, timeout: 1, missed: 1 };
        assert_eq!(first.and_then(next), both);
    }

    #[test]
    fn a_mutant_is_known_by_file_and_change_wherever_it_stands() {
        let arm = "delete match arm (Shape::V4, BARE) in answer";
        assert!(explained(&format!("src/answer.rs:58:9: {arm}")).is_some());
        assert!(explained(&format!("src/answer.rs:1:1: {arm}")).is_some());
        assert_eq!(explained(&format!("src/frame.rs:58:9: {arm}")), None);
        assert_eq!(
            explained("src/answer.rs:58:9: replace answer -> FrameAnswer with Default::default()"),
            None
        );
    }
}
