//! What the documents name exists: files, headings and verbs; and no paragraph is too long to read.

use crate::markdown::{anchor, cells, code, prose};
use crate::{collect, read, root};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Characters of the longest paragraph: six lines of 110.
const LONGEST: usize = 660;

/// Every document, relative to the workspace's directory.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in root().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    for directory in ["docs", ".github"] {
        collect(&root().join(directory), "md", &mut |path| found.push(path.to_owned()));
    }
    assert!(found.len() > 5, "{found:?}");
    found.into_iter().map(|path| path.strip_prefix(root()).unwrap().to_owned()).collect()
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_relative_link_and_anchor_resolves() {
    let mut count = 0;
    for document in documents() {
        let page = read(document.to_str().unwrap());
        for link in
            prose(&page).flat_map(|line| line.split("](").skip(1)).map(|rest| rest.split(')').next().unwrap())
        {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(root().join(&target).exists(), "{}: there is no {link}", document.display());
            if !fragment.is_empty() {
                let known = anchors(&read(target.to_str().unwrap()));
                assert!(known.contains(fragment), "{}: no heading for {link}: {known:?}", document.display());
            }
        }
    }
    assert!(count > 20, "links were read");
}

/// A code span with a path from one of the workspace's directories names a file or directory that exists.
#[test]
fn every_path_that_a_document_names_exists() {
    let mut count = 0;
    for document in documents() {
        let page = read(document.to_str().unwrap());
        for path in prose(&page).flat_map(code) {
            let first = path.split('/').next().unwrap();
            let is_relative = path.contains('/') && !first.is_empty() && root().join(first).is_dir();
            let is_path = is_relative && !path.contains([' ', '*', '<', '{']);
            // What a build or a run makes is not there yet.
            if is_path && first != "target" && !path.starts_with("fuzz/artifacts") {
                count += 1;
                assert!(root().join(path).exists(), "{}: there is no {path}", document.display());
            }
        }
    }
    assert!(count > 20, "paths were read");
}

/// A code span like `umem.rs` or `datapath/drivers.rs` is the end of a source's path.
#[test]
fn every_source_that_a_document_names_exists() {
    let mut known = Vec::new();
    collect(&root(), "rs", &mut |source| known.push(source.to_owned()));
    for document in documents() {
        let page = read(document.to_str().unwrap());
        for name in prose(&page).flat_map(code).filter(|name| name.ends_with(".rs") && !name.contains(' ')) {
            assert!(
                known.iter().any(|path| path.ends_with(name)),
                "{}: there is no {name}",
                document.display()
            );
        }
    }
}

#[test]
fn every_verb_that_a_document_names_exists() {
    let main = read("xtask/src/main.rs");
    for document in documents() {
        let page = read(document.to_str().unwrap());
        for verb in page.split("cargo xtask ").skip(1) {
            let verb: String = verb.chars().take_while(char::is_ascii_lowercase).collect();
            // The placeholder of a table, in capitals.
            let Some(first) = verb.chars().next() else { continue };
            let variant = format!("Verb::{}{}", first.to_ascii_uppercase(), &verb[1..]);
            assert!(main.contains(&variant), "{}: there is no `cargo xtask {verb}`", document.display());
        }
    }
}

#[test]
fn contributing_lists_every_verb() {
    let page = read("CONTRIBUTING.md");
    let main = read("xtask/src/main.rs");
    let verbs: BTreeSet<_> = main
        .split("Verb::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphabetic()).next().unwrap())
        .collect();
    assert!(verbs.len() > 10, "{verbs:?}");
    for verb in verbs {
        let row = format!("| `cargo xtask {}", verb.to_lowercase());
        assert!(page.contains(&row), "CONTRIBUTING.md has no row for {verb}");
    }
}

#[test]
fn no_paragraph_is_longer_than_six_lines() {
    for document in documents() {
        let page = read(document.to_str().unwrap());
        let mut paragraph = 0;
        for line in prose(&page) {
            let is_item = line
                .trim_start()
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .starts_with(['-', '.', '#']);
            let begins = is_item || cells(line).is_some() || line.is_empty();
            let length = if cells(line).is_some() { 0 } else { line.chars().count() };
            paragraph = if begins { length } else { paragraph + length };
            let start = line.chars().take(60).collect::<String>();
            assert!(paragraph <= LONGEST, "{}: {paragraph} characters: {start}", document.display());
        }
    }
}

#[test]
fn an_anchor_is_the_heading_in_lower_case_with_hyphens() {
    assert_eq!(anchor("Options of `xstun serve`"), "options-of-xstun-serve");
    assert_eq!(anchor("Miri (2026-11-26)"), "miri-2026-11-26");
}
