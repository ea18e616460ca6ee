//! Checks that other crates use what is `pub`: what only its own crate uses is `pub(crate)`, so that the
//! compiler warns when it is dead.
//!
//! The check compares names: an item is alive if its name occurs in another crate, or in the signature of
//! a live item.

use super::Finding;
use super::items::{Item, ItemKind, Reach, items};
use super::paths::{Module, imports};
use super::source::{SourceFile, identifiers};
use std::collections::HashSet;

/// Crates that others use, by the directories of their sources. Tests, benches and examples beside them
/// are other crates.
const LIBRARIES: [&str; 6] =
    ["core/src/", "userspace/src/", "testkit/src/", "xdp-ebpf/src/", "bench/src/", "bench/ebpf/src/"];
/// Files and directories in a library's directory that are other crates too.
const BINARIES: [&str; 8] = [
    "userspace/src/main.rs",
    "xdp-ebpf/src/main.rs",
    "xdp-ebpf/src/pass.rs",
    "xdp-ebpf/src/program.rs",
    "bench/ebpf/src/flood.rs",
    "bench/ebpf/src/main.rs",
    "bench/ebpf/src/swap.rs",
    "bench/src/bin/",
];
/// Sources that use no library; what they name does not count.
const STRANGERS: [&str; 2] = ["xtask/", "bench/baselines/"];

/// Files whose items may be public without a user, and why.
const KEPT: [(&str, &str); 1] =
    [("core/src/stun/plain.rs", "what an XDP program needs to answer plain requests by the very same code")];

pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    LIBRARIES.iter().flat_map(|library| dead(sources, library)).collect()
}

fn dead(sources: &[SourceFile], library: &str) -> Vec<Finding> {
    let is_binary = |source: &SourceFile| BINARIES.iter().any(|binary| source.name.starts_with(binary));
    let is_inside = |source: &&SourceFile| source.name.starts_with(library) && !is_binary(source);
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
    let aliases: Vec<_> = inside.iter().flat_map(|source| aliases(source)).collect();
    loop {
        let alive = aliases.iter().filter(|(alias, _)| named.contains(alias.as_str())).collect::<Vec<_>>();
        named.extend(alive.into_iter().map(|(_, name)| name.as_str()));
        let (alive, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, item)| named.contains(item.name));
        waiting = still;
        if alive.is_empty() {
            break;
        }
        named.extend(alive.iter().flat_map(|(source, item)| seen(source, item)));
    }
    let is_kept = |source: &SourceFile| KEPT.iter().any(|(file, _)| *file == source.name);
    let is_checked = |(source, item): &&(&SourceFile, Item<'_>)| {
        !matches!(item.kind, ItemKind::Module | ItemKind::Field) && !is_kept(source)
    };
    waiting.iter().filter(is_checked).map(|(source, item)| finding(source, item)).collect()
}

/// Returns the names that `use` items of the file give to items of the crate, each with the item's own.
fn aliases(source: &SourceFile) -> Vec<(String, String)> {
    let module = Module::of(&source.name).map(|module| module.path).unwrap_or_default();
    let imports = imports(&source.code, &module).into_iter();
    let last = imports.filter_map(|(alias, path)| Some((alias, path.last()?.clone())));
    last.filter(|(alias, name)| alias != name).collect()
}

/// Returns the names that must be as visible as the item. The fields of a struct are not among them: its
/// public fields are items themselves.
fn seen<'a>(source: &'a SourceFile, item: &Item<'_>) -> Vec<&'a str> {
    let code = &source.code[item.signature.clone()];
    let is_struct = source.code[..item.signature.start].trim_end().ends_with("struct");
    let header = code.find('{').filter(|_| is_struct).unwrap_or(code.len());
    identifiers(&code[..header]).collect()
}

/// Returns the lines with associated types and bounds of `impl` blocks, which the compiler requires to be
/// as public as the type of the block.
fn always_seen(code: &str) -> Vec<&str> {
    let associated = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("type ") || (line.starts_with("impl") && line.contains(": "))
    };
    code.lines().filter(associated).collect()
}

fn finding(source: &SourceFile, item: &Item<'_>) -> Finding {
    let text = format!(
        "no other crate names `{}`; make it `pub(crate)` or less, and remove it if the compiler then warns \
         that it is never used",
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
    fn binaries_beside_a_library_are_its_users() {
        let files = [
            ("bench/src/lib.rs", "pub fn used() {}\npub fn dead() {}\n"),
            ("bench/src/bin/flood.rs", "fn main() { used() }\n"),
            ("bench/ebpf/src/lib.rs", "pub fn loaded() {}\npub fn unused() {}\n"),
            ("bench/ebpf/src/flood.rs", "fn main() { loaded() }\n"),
        ];
        assert_eq!(found(&files), ["bench/src/lib.rs:2", "bench/ebpf/src/lib.rs:2"]);
    }

    #[test]
    fn an_item_with_another_name_outside_is_alive() {
        let files = [
            ("core/src/lib.rs", "mod cores;\npub use cores::available as available_cores;\n"),
            ("core/src/cores.rs", "pub fn available() {}\n"),
            ("userspace/src/main.rs", "fn main() { available_cores() }\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
        assert_eq!(found(&files[..2]), ["core/src/cores.rs:1"]);
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
