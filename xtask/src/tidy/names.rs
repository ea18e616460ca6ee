//! Checks that a type that other files can see has a unique name in the workspace, so that a reader
//! knows everywhere which one it is.

use super::Finding;
use super::items::{Item, ItemKind, items};
use super::source::SourceFile;
use std::collections::BTreeMap;

/// Sources whose types do not count: those of tests, and of workspaces of their own.
const APART: [&str; 3] = ["testkit/", "fuzz/", "bench/baselines/"];

/// Returns a finding for each type whose name an earlier one has.
pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    let mut first: BTreeMap<&str, (&SourceFile, usize)> = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !is_apart(source)) {
        for Item { name, line, .. } in items(source).into_iter().filter(|item| item.kind == ItemKind::Type) {
            let &mut (other, place) = first.entry(name).or_insert((source, line));
            if other.name != source.name {
                let text = format!(
                    "`{name}` is also the name of a type in {}:{place}; choose a name that says which one it is, such \
                     as `LoadReport` and `DoctorReport`",
                    other.name
                );
                findings.push(source.finding(line, text));
            }
        }
    }
    findings
}

/// Whether the file's types do not count. A stand-in, which replaces a module where its feature is off,
/// has the names of that module.
fn is_apart(source: &SourceFile) -> bool {
    APART.iter().any(|apart| source.name.starts_with(apart)) || source.name.ends_with("/absent.rs")
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(name, text)| SourceFile::new(name, text)).collect();
        check(&sources).into_iter().map(|finding| finding.file).collect()
    }

    #[test]
    fn a_second_type_of_a_name_is_found_in_any_crate() {
        let files = [
            ("userspace/src/a.rs", "pub struct Report;\n"),
            ("xtask/src/b.rs", "pub(super) enum Report { A }\n"),
            ("userspace/src/c.rs", "pub(crate) type Report = u8;\n"),
        ];
        assert_eq!(found(&files), ["xtask/src/b.rs", "userspace/src/c.rs"]);
    }

    #[test]
    fn types_that_stay_in_their_file_tests_and_stand_ins_are_free() {
        let files = [
            ("userspace/src/a.rs", "pub struct Report;\n"),
            ("userspace/src/b.rs", "struct Report;\n#[cfg(test)]\nmod tests {\n    pub struct Report;\n}\n"),
            ("userspace/src/a/absent.rs", "pub enum Report {}\n"),
            ("testkit/src/lib.rs", "pub struct Report;\n"),
            ("userspace/src/c.rs", "#[cfg(a)]\npub struct C;\n#[cfg(b)]\npub struct C;\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }
}
