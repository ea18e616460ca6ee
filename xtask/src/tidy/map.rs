//! Writes the map in `docs/architecture.md` from the first sentence of each file and from the rules, and
//! compares the two.

use super::Finding;
use super::arrows::{self, Rule};
use super::packages::{self, PackageRule};
use super::source::SourceFile;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const DOCUMENT: &str = "docs/architecture.md";
/// The map is between these two lines.
const BEGIN: &str = "<!-- Written by `cargo xtask map`; do not edit. -->";
const END: &str = "<!-- End of the map. -->";

/// Directories whose files are on the map, in its order. Of another directory, only the file that it
/// belongs to is on the map.
const SHOWN: &[&str] = &[
    "core/src",
    "core/src/frame",
    "core/src/stun",
    "xdp-ebpf/src",
    "userspace/src",
    "userspace/src/datapath",
    "userspace/src/datapath/af_xdp",
    "userspace/src/datapath/socket",
    "userspace/src/control",
    "userspace/src/client",
    "xtask/src",
    "bench/ebpf/src",
    "bench/src",
    "bench/src/bin",
];
/// Column at which a file's sentence begins.
const COLUMN: usize = 30;
/// Width of the lists of arrows.
const WIDTH: usize = 110;

/// Writes the map into the document.
///
/// # Errors
/// The document cannot be read or written, or lacks one of the two lines.
pub(super) fn write(root: &Path, sources: &[SourceFile]) -> Result<()> {
    let (file, text) = document(root)?;
    let (before, _, after) =
        parts(&text).with_context(|| format!("{DOCUMENT} needs the lines {BEGIN} and {END}"))?;
    fs::write(&file, format!("{before}{}{after}", map(sources)))
        .with_context(|| format!("cannot write {DOCUMENT}"))
}

/// Compares the document with the sources, and checks that every file on the map has a first sentence.
///
/// # Errors
/// The document cannot be read.
pub(super) fn check(root: &Path, sources: &[SourceFile]) -> Result<Vec<Finding>> {
    let (_, text) = document(root)?;
    let mut findings: Vec<_> =
        sources.iter().filter(|source| is_shown(source)).filter_map(undescribed).collect();
    findings.extend(compare(&text, &map(sources)));
    Ok(findings)
}

fn document(root: &Path) -> Result<(std::path::PathBuf, String)> {
    let file = root.join(DOCUMENT);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {DOCUMENT}"))?;
    Ok((file, text))
}

/// Splits the document into what precedes the map, the map, and what follows it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

fn compare(text: &str, map: &str) -> Option<Finding> {
    let finding = |line, text| Some(Finding { file: DOCUMENT.to_owned(), line, text });
    let Some((before, written, _)) = parts(text) else {
        return finding(
            1,
            format!("has no map; add the lines {BEGIN} and {END}, then run `cargo xtask map`"),
        );
    };
    let same = written.lines().zip(map.lines()).take_while(|(written, now)| written == now).count();
    let line = before.matches('\n').count() + same + 1;
    let text = "the map differs from the sources; run `cargo xtask map`";
    (written != map).then(|| finding(line, text.to_owned())).flatten()
}

fn undescribed(source: &SourceFile) -> Option<Finding> {
    let text = "has no `//!` comment at its top; add one, whose first sentence goes on the map";
    summary(&source.text).is_empty().then(|| source.finding(1, text.to_owned()))
}

fn map(sources: &[SourceFile]) -> String {
    let mut map = format!("\n\n```\n{}```\n\n", files(sources));
    map.push_str("Dependencies between the packages of the project:\n\n```\n");
    packages::RULES.iter().for_each(|rule| map.push_str(&package(rule)));
    map.push_str("```\n\nA module uses the modules below itself, and of its crate only these:\n");
    for (directory, rules) in arrows::CRATES {
        let _ = write!(map, "\n`{directory}`\n\n```\n{}```\n", modules(rules));
    }
    map.push('\n');
    map
}

/// Lists the files by directory in alphabetical order, the crate's root first. The parts of a file follow
/// it, indented.
fn files(sources: &[SourceFile]) -> String {
    let mut by_directory: BTreeMap<&str, Vec<&SourceFile>> = BTreeMap::new();
    for source in sources.iter().filter(|source| is_shown(source)) {
        let (directory, _) = source.name.rsplit_once('/').unwrap_or_default();
        by_directory.entry(directory).or_default().push(source);
    }
    let is_part = |directory: &str| sources.iter().any(|source| source.name == format!("{directory}.rs"));
    let mut text = String::new();
    for directory in
        SHOWN.iter().filter(|directory| by_directory.contains_key(*directory) && !is_part(directory))
    {
        let _ = writeln!(text, "{directory}/");
        write_directory(&mut text, sources, &by_directory, directory, 1);
    }
    text
}

fn write_directory(
    text: &mut String,
    all: &[SourceFile],
    by_directory: &BTreeMap<&str, Vec<&SourceFile>>,
    directory: &str,
    depth: usize,
) {
    let mut files = by_directory.get(directory).cloned().unwrap_or_default();
    let is_root =
        |source: &SourceFile| ["/lib.rs", "/main.rs"].iter().any(|root| source.name.ends_with(root));
    files.sort_by_key(|source| (!is_root(source), &source.name));
    for source in files {
        let stem = source.name.strip_suffix(".rs").unwrap_or(&source.name);
        let below = format!("{stem}/");
        let is_directory = all.iter().any(|source| source.name.starts_with(&below) && !source.is_test(1));
        let file = stem.rsplit('/').next().unwrap_or(stem);
        let mark = if is_directory && !SHOWN.contains(&stem) { format!(" {file}/") } else { String::new() };
        let name = format!("{}{file}.rs{mark}", "  ".repeat(depth));
        let _ = writeln!(text, "{name:COLUMN$} {}", summary(&source.text));
        if SHOWN.contains(&stem) {
            write_directory(text, all, by_directory, stem, depth + 1);
        }
    }
}

fn is_shown(source: &SourceFile) -> bool {
    let (directory, _) = source.name.rsplit_once('/').unwrap_or_default();
    SHOWN.contains(&directory) && !source.is_test(1)
}

/// Returns the first sentence of the comment at the top of a file, without Markdown's marks and without
/// the targets of links.
fn summary(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<_> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    let sentence = without_targets(sentence.trim_end_matches('.'));
    sentence.replace("mod@", "").replace(['`', '[', ']'], "")
}

/// Turns each `[text](target)` into `[text]`.
fn without_targets(text: &str) -> String {
    let mut parts = text.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push(']');
        kept.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    kept
}

fn package(rule: &PackageRule) -> String {
    let mut used = rule.may.to_vec();
    let tests: Vec<_> = rule.tests.iter().map(|used| format!("{used} (tests)")).collect();
    used.extend(tests.iter().map(String::as_str));
    arrow(rule.package, &used)
}

fn modules(rules: &[Rule]) -> String {
    let never = |rule: &Rule| rule.never.iter().map(|never| format!("never {never}")).collect::<Vec<_>>();
    let line = |rule: &Rule| {
        let never = never(rule);
        arrow(rule.module, &[rule.may, &never.iter().map(String::as_str).collect::<Vec<_>>()].concat())
    };
    rules.iter().map(line).collect()
}

/// Writes `name -> used, used`, folded at the width.
fn arrow(name: &str, used: &[&str]) -> String {
    if used.is_empty() {
        return format!("{name}\n");
    }
    let mut text = format!("{name} -> ");
    let mut column = text.len();
    for (index, used) in used.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        if column + comma.len() + used.len() > WIDTH {
            text.push_str(",\n    ");
            column = 4;
        } else {
            text.push_str(comma);
            column += comma.len();
        }
        text.push_str(used);
        column += used.len();
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, SourceFile, arrow, compare, files, summary, undescribed};

    #[test]
    fn the_first_sentence_of_a_file_stands_on_the_map() {
        let sources = [
            SourceFile::new(
                "xtask/src/run.rs",
                "//! Runs [`Command`]s, so that\n//! failures have names. More.\n",
            ),
            SourceFile::new("core/src/stun/reply.rs", "//! Writes replies.\n"),
            SourceFile::new("core/src/stun.rs", "//! The core\n//!\n//! Knows no sockets.\n"),
            SourceFile::new("core/src/stun/tests.rs", "//! Not here.\n"),
            SourceFile::new("userspace/src/main.rs", "//! The program.\n"),
            SourceFile::new("bench/src/bin/limit.rs", "//! Measures.\n"),
            SourceFile::new("userspace/src/settings.rs", "//! Options.\n"),
            SourceFile::new("userspace/src/settings/document.rs", "//! Not here.\n"),
        ];
        let shown: Vec<_> = files(&sources)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "core/src/",
            "stun.rs The core",
            "reply.rs Writes replies",
            "userspace/src/",
            "main.rs The program",
            "settings.rs settings/ Options",
            "xtask/src/",
            "run.rs Runs Commands, so that failures have names",
            "bench/src/bin/",
            "limit.rs Measures",
        ];
        assert_eq!(shown, expected);
        assert!(undescribed(&sources[1]).is_none());
        assert!(undescribed(&SourceFile::new("xtask/src/run.rs", "use a;\n")).is_some());
        assert_eq!(summary("//! `a`: [`mod@b`].\n"), "a: b");
        assert_eq!(summary("//! Calls [`b`](fn@super::b) (twice), [c](d).\n"), "Calls b (twice), c");
    }

    #[test]
    fn arrows_are_folded() {
        assert_eq!(arrow("a", &[]), "a\n");
        assert_eq!(arrow("a", &["b", "c"]), "a -> b, c\n");
        let long = "d".repeat(100);
        assert_eq!(arrow("a", &["b", &long, "c", "e"]), format!("a -> b, {long},\n    c, e\n"));
    }

    #[test]
    fn a_document_that_differs_is_found() {
        let document = |map: &str| format!("# Map\n{BEGIN}{map}{END}\nmore\n");
        assert_eq!(compare(&document("\na\nb\n"), "\na\nb\n"), None);
        let line = |text: &str| compare(text, "\na\nb\n").map(|finding| finding.line);
        assert_eq!(line(&document("\na\nc\n")), Some(4));
        assert_eq!(line(&document("\na\n")), Some(4));
        assert_eq!(line("# Map\n"), Some(1));
    }
}
