//! No dead public items: what only its own crate uses is `pub(crate)`, so that the compiler sees when
//! nobody uses it any more.
//!
//! The check is by names: an item is alive if its name occurs in another crate, or in the signature of
//! an item that is alive.

use super::Finding;
use super::items::{Item, ItemKind, Reach, items};
use super::source::{SourceFile, identifiers};
use std::collections::HashSet;

/// Crates that others use, by the directories of their sources. What stands beside the library and is
/// not part of it (the binary's file, tests, benches, examples) is another crate.
const LIBRARIES: [&str; 3] = ["core/src/", "userspace/src/", "testkit/src/"];
/// Files of a library's directory that are crates of their own.
const BINARIES: [&str; 1] = ["userspace/src/main.rs"];
/// What uses no library, and so gives life to no item.
const STRANGERS: [&str; 2] = ["xtask/", "bench/baselines/"];

pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    LIBRARIES.iter().flat_map(|library| dead(sources, library)).collect()
}

fn dead(sources: &[SourceFile], library: &str) -> Vec<Finding> {
    let is_inside =
        |source: &&SourceFile| source.name.starts_with(library) && !BINARIES.contains(&source.name.as_str());
    let is_user = |source: &&SourceFile| {
        !is_inside(source) && !STRANGERS.iter().any(|stranger| source.name.starts_with(stranger))
    };
    let inside: Vec<_> = sources.iter().filter(is_inside).collect();
    let mut named: HashSet<&str> =
        sources.iter().filter(is_user).flat_map(|source| identifiers(&source.code)).collect();
    named.extend(inside.iter().flat_map(|source| always_seen(&source.code)).flat_map(identifiers));

    let everywhere = |item: &Item<'_>| item.reach == Reach::Everywhere;
    let mut waiting: Vec<(&SourceFile, Item<'_>)> = inside
        .iter()
        .flat_map(|source| items(source).into_iter().filter(everywhere).map(|item| (*source, item)))
        .collect();
    loop {
        let (alive, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, item)| named.contains(item.name));
        waiting = still;
        if alive.is_empty() {
            break;
        }
        named.extend(alive.iter().flat_map(|(source, item)| seen(source, item)));
    }
    let is_checked =
        |(_, item): &&(&SourceFile, Item<'_>)| !matches!(item.kind, ItemKind::Module | ItemKind::Field);
    waiting.iter().filter(is_checked).map(|(source, item)| finding(source, item)).collect()
}

/// Names that whoever sees the item has to see too. The private fields of a type are not among them:
/// its public ones are items themselves.
fn seen<'a>(source: &'a SourceFile, item: &Item<'_>) -> Vec<&'a str> {
    let code = &source.code[item.signature.clone()];
    let is_struct = source.code[..item.signature.start].trim_end().ends_with("struct");
    let header = code.find('{').filter(|_| is_struct).unwrap_or(code.len());
    identifiers(&code[..header]).collect()
}

/// Associated types and bounds of `impl` blocks: the compiler wants them to be as public as what they
/// are implemented for.
fn always_seen(code: &str) -> Vec<&str> {
    let associated = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("type ") || (line.starts_with("impl") && line.contains(": "))
    };
    code.lines().filter(associated).collect()
}

fn finding(source: &SourceFile, item: &Item<'_>) -> Finding {
    let text = format!(
        "no other crate names `{}`; make it `pub(crate)` or less, and remove it if the compiler then says \
         that nobody uses it",
        item.name
    );
    source.finding(item.line, text)
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(name, text)| SourceFile::new(name, text)).collect();
        check(&sources).into_iter().map(|finding| format!("{}:{}", finding.file, finding.line)).collect()
    }

    #[test]
    fn an_item_that_only_its_crate_names_is_found() {
        let library = "pub fn used() {}\npub fn dead() { used() }\npub(crate) fn inside() { dead() }\n";
        let files = [
            ("userspace/src/a.rs", library),
            ("userspace/src/b.rs", "use crate::a::dead;\n"),
            ("userspace/src/main.rs", "fn main() { xstun::a::used() }\n"),
            ("xtask/src/main.rs", "fn dead() {}\n"),
        ];
        assert_eq!(found(&files), ["userspace/src/a.rs:2"]);
    }

    #[test]
    fn what_a_live_signature_names_is_alive() {
        let library = "pub fn answer() -> Answer { Made::new() }\n\
                       pub struct Answer {\n    pub outcome: Outcome,\n    hidden: Hidden,\n}\n\
                       pub enum Outcome { A }\npub struct Hidden;\npub struct Made;\n";
        let files = [
            ("core/src/answer.rs", library),
            ("userspace/tests/answer.rs", "fn a() { answer().outcome; }\n"),
        ];
        assert_eq!(found(&files), ["core/src/answer.rs:7", "core/src/answer.rs:8"]);
    }
}
