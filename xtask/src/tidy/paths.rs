//! Reads the module paths that code names, and the modules that files are.

use super::source::{SourceFile, item_end, name_at, skip_space, starts_word, words};
use std::collections::HashMap;
use std::ops::Range;

/// The module that a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module<'a> {
    /// Directory of the crate's sources, such as `userspace/src`.
    pub(super) sources: &'a str,
    /// Names from the crate's root; empty for the root itself.
    pub(super) path: Vec<String>,
}

impl<'a> Module<'a> {
    /// Returns the module of a file below a `src` directory; `None` for tests, benches and examples.
    pub(super) fn of(file: &'a str) -> Option<Self> {
        let at = file.find("/src/")?;
        let (sources, inside) = (&file[..at + "/src".len()], &file[at + "/src/".len()..]);
        let path = inside.strip_suffix(".rs")?;
        let root = path == "main" || path == "lib";
        let path = if root { Vec::new() } else { path.split('/').map(str::to_owned).collect() };
        Some(Module { sources, path })
    }

    pub(super) fn name(&self) -> String {
        self.path.join("::")
    }
}

/// A path that code names, written from the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    /// Offset of its last name.
    pub(super) offset: usize,
    pub(super) path: Vec<String>,
    /// Its name after `as`.
    alias: Option<String>,
}

/// Returns the paths within its own crate that the code of `module` names by `crate::` and `super::`.
pub(super) fn named(code: &str, module: &[String]) -> Vec<NamedPath> {
    let inline = inline_modules(code);
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("crate::").filter(|&(offset, _)| starts_path(code, offset)) {
        tree(code, offset + "crate::".len(), &mut Vec::new(), &mut found);
    }
    for (offset, _) in code.match_indices("super::").filter(|&(offset, _)| starts_path(code, offset)) {
        let mut rest = &code[offset..];
        let mut base = module.to_vec();
        base.extend(inline.iter().filter(|(range, _)| range.contains(&offset)).map(|(_, name)| name.clone()));
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        tree(code, code.len() - rest.len(), &mut base, &mut found);
    }
    found
}

/// Returns the names that a module has from others of its crate, each with the path it stands for:
/// `use` items, whose names the modules below can reach through this one.
pub(super) fn imports(code: &str, module: &[String]) -> HashMap<String, Vec<String>> {
    let declared: Vec<_> =
        words(code, "mod").filter_map(|offset| name_at(code, offset + "mod".len())).collect();
    let mut found = Vec::new();
    for offset in words(code, "use") {
        let at = skip_space(code, offset + "use".len());
        let first = name_at(code, at).unwrap_or_default();
        let mut base = match first {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            child if declared.contains(&child) => module.to_vec(),
            _ => continue,
        };
        let keyword = matches!(first, "crate" | "self" | "super");
        let at = if keyword { at + first.len() + "::".len() } else { at };
        tree(code, at, &mut base, &mut found);
    }
    let name = |found: &NamedPath| found.alias.clone().or_else(|| found.path.last().cloned());
    found.into_iter().filter_map(|found| Some((name(&found)?, found.path))).collect()
}

/// Modules written out within a file, each with the code it spans.
fn inline_modules(code: &str) -> Vec<(Range<usize>, String)> {
    let module = |offset: usize| {
        let name = name_at(code, offset + "mod".len())?;
        let end = item_end(code, offset);
        code[..end].ends_with('}').then(|| (offset..end, name.to_owned()))
    };
    words(code, "mod").filter_map(module).collect()
}

/// Whether a path starts here that the code uses; in `pub(in path)` it names the module's own ancestor.
fn starts_path(code: &str, offset: usize) -> bool {
    let before = &code[..offset];
    starts_word(code, offset) && !before.ends_with("::") && !before.trim_end().ends_with("pub(in")
}

/// Reads the path, or the tree of paths in braces, at `at`, below `base`. Returns the offset after it.
fn tree(code: &str, mut at: usize, base: &mut Vec<String>, found: &mut Vec<NamedPath>) -> usize {
    let depth = base.len();
    loop {
        at = skip_space(code, at);
        let Some(name) = name_at(code, at) else { break };
        match name {
            "self" => {}
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
        let after = skip_space(code, at + name.len());
        if !code[after..].starts_with("::") {
            let behind = words(&code[after..], "as").next().filter(|&offset| offset == 0);
            let alias = behind.and_then(|_| name_at(code, after + "as".len())).map(str::to_owned);
            found.push(NamedPath { offset: at, path: base.clone(), alias });
            base.truncate(depth);
            return after;
        }
        at = after + "::".len();
    }
    if code[at..].starts_with('{') {
        at += 1;
        while at < code.len() && !code[at..].starts_with('}') {
            at = tree(code, at, base, found);
            // Past `as name` and the comma, to the next path or the end of the braces.
            at += code[at..].find([',', '}']).unwrap_or(code.len() - at);
            at = skip_space(code, at + usize::from(code[at..].starts_with(',')));
        }
        at = (at + 1).min(code.len());
    } else {
        // A glob, or generic arguments behind `::`.
        found.push(NamedPath { offset: at, path: base.clone(), alias: None });
    }
    base.truncate(depth);
    at
}

/// The modules of one crate, with what each imports.
pub(super) struct Modules<'a> {
    modules: HashMap<String, (&'a SourceFile, HashMap<String, Vec<String>>)>,
}

impl<'a> Modules<'a> {
    /// Collects the files below one crate's `sources` directory.
    pub(super) fn new(all: &'a [SourceFile], sources: &str) -> Self {
        let module = |source: &'a SourceFile| {
            let module = Module::of(&source.name).filter(|module| module.sources == sources)?;
            Some((module.name(), (source, imports(&source.code, &module.path))))
        };
        Modules { modules: all.iter().filter_map(module).collect() }
    }

    /// Returns the module that defines what `path` names. Follows the `use` items of modules on the way.
    pub(super) fn home(&self, path: &[String]) -> Vec<String> {
        let mut path = path.to_vec();
        // A bound, since names can lead in a circle.
        for _ in 0..8 {
            let depth = (0..=path.len()).rev().find(|&depth| self.has(&path[..depth])).unwrap_or_default();
            let (module, rest) = path.split_at(depth);
            let imported = rest.first().and_then(|name| self.modules.get(&module.join("::"))?.1.get(name));
            match imported {
                Some(target) if *target != path => path = [target, &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        path
    }

    fn has(&self, path: &[String]) -> bool {
        path.is_empty() || self.modules.contains_key(&path.join("::"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Module, Modules, SourceFile, imports, named};

    fn split(path: &str) -> Vec<String> {
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn paths(code: &str, module: &str) -> Vec<String> {
        named(code, &split(module)).into_iter().map(|found| found.path.join("::")).collect()
    }

    #[test]
    fn every_way_to_name_a_path_is_read() {
        assert_eq!(
            paths("use crate::{outcome::Outcome, stun::{self, Policy as P}, frame::*};", "answer"),
            ["outcome::Outcome", "stun", "stun::Policy", "frame"]
        );
        assert_eq!(paths("use super::super::stats::Counter;", "datapath::socket"), ["stats::Counter"]);
        assert_eq!(
            paths("super::batch::new()", "datapath::socket::worker"),
            ["datapath::socket::batch::new"]
        );
        assert_eq!(paths("let x = crate::stun::respond(a);", "answer"), ["stun::respond"]);
        assert_eq!(paths("use xstun_ebpf::classify; $crate::x; my_crate::y", "answer"), ["x"]);
        assert_eq!(paths("pub(in crate::control) fn a() {}", "control::log"), [""; 0]);
        assert_eq!(paths("mod inner { use super::reply::A; }", "stun::guard"), ["stun::guard::reply::A"]);
    }

    #[test]
    fn a_file_is_known_as_a_module() {
        let name = |file| Module::of(file).map(|module| (module.sources.to_owned(), module.name()));
        let module = |sources: &str, name: &str| Some((sources.to_owned(), name.to_owned()));
        assert_eq!(name("userspace/src/datapath/socket.rs"), module("userspace/src", "datapath::socket"));
        assert_eq!(name("userspace/src/main.rs"), module("userspace/src", ""));
        assert_eq!(name("xtask/src/run.rs"), module("xtask/src", "run"));
        assert_eq!(name("userspace/tests/respond.rs"), None);
    }

    #[test]
    fn imports_are_known_by_the_name_that_they_have_here() {
        let code = "mod reply;\nuse reply::{Reply, Shape as S};\nuse crate::outcome;\nuse std::fmt;\n\
                    pub(crate) use super::super::stats::Counter;\n";
        let mut found: Vec<_> = imports(code, &split("stun::wire")).into_iter().collect();
        found.sort();
        let expected = [
            ("Counter", "stats::Counter"),
            ("Reply", "stun::wire::reply::Reply"),
            ("S", "stun::wire::reply::Shape"),
            ("outcome", "outcome"),
        ];
        assert_eq!(found, expected.map(|(name, path)| (name.to_owned(), split(path))));
    }

    #[test]
    fn a_name_is_followed_to_the_module_that_defines_it() {
        let sources = [
            SourceFile::new("a/src/lib.rs", "mod stun;\n"),
            SourceFile::new("a/src/stun.rs", "mod reply;\npub use reply::Reply;\n"),
            SourceFile::new("a/src/stun/reply.rs", "pub struct Reply;\n"),
            SourceFile::new("b/src/stun.rs", ""),
        ];
        let modules = Modules::new(&sources, "a/src");
        assert_eq!(modules.home(&split("stun::Reply::new")), split("stun::reply"));
        assert_eq!(modules.home(&split("stun::Policy")), split("stun"));
        assert_eq!(modules.home(&split("Nothing")), split(""));
    }
}
