//! No circles among neighbours: of two modules below the same one, at most one uses the other, directly
//! or by way of further neighbours.

use super::Finding;
use super::paths::{Module, Modules, named};
use super::source::SourceFile;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The first place where one module names another.
struct Arrow<'a> {
    source: &'a SourceFile,
    line: usize,
    /// The path that is named, from the crate's root.
    path: String,
}

/// Arrows among the children of one module, by the names of both ends.
type Arrows<'a> = BTreeMap<(String, String), Arrow<'a>>;

/// Returns one finding for each circle.
pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    let crates: BTreeSet<_> =
        sources.iter().filter_map(|source| Some(Module::of(&source.name)?.sources)).collect();
    let mut findings = Vec::new();
    for directory in crates {
        for (parent, arrows) in arrows(sources, directory) {
            findings.extend(circles(&arrows).iter().filter_map(|circle| finding(&parent, circle, &arrows)));
        }
    }
    findings
}

/// The arrows of one crate, by the module that both ends stand below. What a module's descendants use,
/// it uses.
fn arrows<'a>(sources: &'a [SourceFile], directory: &str) -> BTreeMap<String, Arrows<'a>> {
    let modules = Modules::new(sources, directory);
    let mut all: BTreeMap<String, Arrows<'a>> = BTreeMap::new();
    for source in sources {
        let Some(module) = Module::of(&source.name).filter(|module| module.sources == directory) else {
            continue;
        };
        for found in named(&source.code, &module.path) {
            let line = source.line_of(found.offset);
            let home = modules.home(&found.path);
            let common = module.path.iter().zip(&home).take_while(|(from, to)| from == to).count();
            let (Some(from), Some(to)) = (module.path.get(common), home.get(common)) else { continue };
            if source.is_test(line) {
                continue;
            }
            let arrow = Arrow { source, line, path: found.path.join("::") };
            let arrows = all.entry(home[..common].join("::")).or_default();
            arrows.entry((from.clone(), to.clone())).or_insert(arrow);
        }
    }
    all
}

/// The shortest circle through each module that is in one, every circle once. It begins with the first
/// name by the alphabet.
fn circles(arrows: &Arrows<'_>) -> BTreeSet<Vec<String>> {
    let starts: BTreeSet<_> = arrows.keys().map(|(from, _)| from).collect();
    let circle = |start: &&String| shortest(arrows, start);
    let mut found: Vec<Vec<String>> = starts.iter().filter_map(circle).collect();
    for circle in &mut found {
        let first = circle.iter().enumerate().min_by_key(|(_, name)| *name).map_or(0, |(at, _)| at);
        circle.rotate_left(first);
    }
    found.into_iter().collect()
}

/// The shortest way from `start` back to it.
fn shortest(arrows: &Arrows<'_>, start: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for (_, to) in arrows.keys().filter(|(from, _)| Some(from) == way.last()) {
            if to == start {
                return Some(way);
            }
            if seen.insert(to) {
                ways.push_back([&way[..], std::slice::from_ref(to)].concat());
            }
        }
    }
    None
}

fn finding(parent: &str, circle: &[String], arrows: &Arrows<'_>) -> Option<Finding> {
    let next = circle.iter().cycle().skip(1);
    let steps: Option<Vec<_>> =
        circle.iter().zip(next).map(|(from, to)| arrows.get(&(from.clone(), to.clone()))).collect();
    let steps = steps?;
    let first = steps.first()?;
    let shown: Vec<_> = steps
        .iter()
        .map(|arrow| format!("{}:{} uses `{}`", arrow.source.name, arrow.line, arrow.path))
        .collect();
    let parent = if parent.is_empty() { "the crate's root" } else { parent };
    let text = format!(
        "the modules {} below {parent} use each other in a circle ({}); move what both need into a module \
         that uses neither",
        circle.join(", "),
        shown.join("; ")
    );
    Some(first.source.finding(first.line, text))
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(name, text)| SourceFile::new(name, text)).collect();
        check(&sources).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn two_neighbours_that_use_each_other_are_found() {
        let extended = ("core/src/stun/extended.rs", "use super::authentication::Dialect;\n");
        let authentication =
            ("core/src/stun/authentication.rs", "fn a() {}\nuse crate::stun::extended::seal;\n");
        let found = found(&[extended, authentication]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(
            "core/src/stun/authentication.rs:2: the modules authentication, extended below stun"
        ));
        assert!(found[0].contains("core/src/stun/extended.rs:1 uses `stun::authentication::Dialect`"));
    }

    #[test]
    fn a_circle_of_three_is_found_once() {
        let files = [
            ("xtask/src/setup/plan.rs", "use super::steps::A;\n"),
            ("xtask/src/setup/steps.rs", "use super::facts::below::B;\n"),
            ("xtask/src/setup/facts/below.rs", "use super::super::plan::C;\n"),
            ("xtask/src/setup/facts.rs", "mod below;\n"),
            ("xtask/src/setup/apart.rs", "use super::plan::D;\n"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn a_circle_by_way_of_an_import_of_the_parent_is_found() {
        let files = [
            ("a/src/stun.rs", "mod reply;\nmod request;\nuse reply::Reply;\n"),
            ("a/src/stun/reply.rs", "use super::request::Request;\n"),
            ("a/src/stun/request.rs", "use super::Reply;\n"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn one_direction_tests_and_children_are_no_circle() {
        let files = [
            ("a/src/stun.rs", "mod reply;\nuse reply::Reply;\nstruct Policy;\n"),
            ("a/src/stun/reply.rs", "use super::request::A;\nuse super::Policy;\n"),
            (
                "a/src/stun/request.rs",
                "use super::Policy;\n#[cfg(test)]\nmod tests {\n    use super::super::reply::Reply;\n}\n",
            ),
            ("b/src/stun/request.rs", "use super::reply::A;\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }
}
