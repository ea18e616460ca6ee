//! Checks the length of functions: one that does not fit on a screen does more than one thing.

use super::Finding;
use super::source::{SourceFile, item_end, name_at, words};

/// Lines that a function may have, from the one with its `fn` to the closing brace.
const MOST_LINES: usize = 60;

pub(super) fn check(source: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for offset in words(&source.code, "fn") {
        // Without a name it is a type, such as `fn(u32)`.
        let Some(name) = name_at(&source.code, offset + "fn".len()) else { continue };
        let first = source.line_of(offset);
        let lines = source.line_of(item_end(&source.code, offset)) - first + 1;
        if lines > MOST_LINES {
            let text =
                format!("`{name}` has {lines} lines, more than {MOST_LINES}; make functions of its steps");
            findings.push(source.finding(first, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{MOST_LINES, SourceFile, check};

    fn found(text: &str) -> Vec<usize> {
        check(&SourceFile::new("xtask/src/sample.rs", text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_function_is_too_long_from_its_first_line_to_its_last() {
        let function =
            |lines: usize| format!("\nfn a(b: [u8; 4]) {{\n{}}}\n", "    c();\n".repeat(lines - 2));
        assert_eq!(found(&function(MOST_LINES)), [0usize; 0]);
        assert_eq!(found(&function(MOST_LINES + 1)), [2]);
        assert_eq!(found(&format!("#[cfg(test)]\nmod tests {{{}}}\n", function(MOST_LINES + 1))), [3]);
    }

    #[test]
    fn declarations_and_types_of_functions_have_no_length() {
        let text =
            format!("type A = fn(u32);\ntrait B {{\n    fn c();\n{}}}\n", "    // d\n".repeat(MOST_LINES));
        assert_eq!(found(&text), [0usize; 0]);
    }
}
