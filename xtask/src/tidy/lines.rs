//! Checks single lines and the length of files.

use super::Finding;
use super::source::{SourceFile, starts_word};

/// Most lines of code in a file, without tests, comments and empty lines.
const MOST_LINES: usize = 400;
/// Lines of code beyond which a note says that the file grows long.
const MANY_LINES: usize = 300;
/// Marks of unfinished work. `concat!` keeps them out of this file's own text.
const UNDONE: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

pub(super) fn check(source: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if line.contains('\t') {
            findings.push(source.finding(index + 1, "has a tab; indent with spaces".to_owned()));
        }
        for mark in UNDONE {
            let undone = line.find(mark).filter(|&at| starts_word(line, at));
            if undone.is_some_and(|at| !names_issue(&line[at..])) {
                let text = format!(
                    "has a {mark} without an issue; do the work, or write {mark}(#123) with the issue's number"
                );
                findings.push(source.finding(index + 1, text));
            }
        }
    }
    let lines = source.code_lines().filter(|(_, line, test)| !test && !line.trim().is_empty()).count();
    if lines > MOST_LINES {
        let text = format!("has {lines} lines of code, more than {MOST_LINES}; split it by meaning");
        findings.push(source.finding(1, text));
    } else if lines > MANY_LINES {
        println!("{}: note: {lines} lines of code; split it before it has {MOST_LINES}", source.name);
    }
    findings
}

/// Whether the text names an issue by `#` and a number.
fn names_issue(text: &str) -> bool {
    text.split_once('#').is_some_and(|(_, number)| number.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{MOST_LINES, SourceFile, UNDONE, check};

    fn found(text: &str) -> Vec<usize> {
        check(&SourceFile::new("xtask/src/sample.rs", text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn tabs_and_unfinished_work_are_found() {
        assert_eq!(found("fn a() {\n\tb();\n}\n"), [2]);
        let [todo, fixme] = UNDONE;
        assert_eq!(found(&format!("// {todo}: later\n// {fixme}(#12): known\n// MASTO{todo}\n")), [1]);
    }

    #[test]
    fn only_code_counts_for_the_length_of_a_file() {
        let code = "a();\n".repeat(MOST_LINES);
        assert_eq!(found(&code), [0usize; 0]);
        assert_eq!(found(&format!("// comment\n\n{code}")), [0usize; 0]);
        assert_eq!(found(&format!("{code}#[cfg(test)]\nmod tests {{\n    b();\n}}\n")), [0usize; 0]);
        assert_eq!(found(&format!("{code}b();\n")), [1]);
    }
}
