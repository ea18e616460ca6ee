//! Splits a source file into code, comments and literals, and marks what belongs to tests.

use super::Finding;

/// A Rust source file.
pub(super) struct SourceFile {
    /// Path from the workspace's root.
    pub(super) name: String,
    /// The file's text.
    pub(super) text: String,
    /// The text with a space for each character of comments and literals.
    pub(super) code: String,
    /// For each line, whether it belongs to tests.
    test: Vec<bool>,
}

impl SourceFile {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let code = blank(text);
        let test = test_lines(name, &code);
        SourceFile { name: name.to_owned(), text: text.to_owned(), code, test }
    }

    /// Returns the paths, without `.rs`, of the modules that this file declares for tests only.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let stem = self.name.strip_suffix(".rs").unwrap_or(&self.name);
        let (directory, file) = stem.rsplit_once('/').unwrap_or(("", stem));
        let below = if ["lib", "main", "mod"].contains(&file) { directory } else { stem };
        words(&self.code, "mod")
            .filter(|&offset| self.is_test(self.line_of(offset)))
            .filter(|&offset| self.code[offset..item_end(&self.code, offset)].ends_with(';'))
            .filter_map(|offset| Some(format!("{below}/{}", name_at(&self.code, offset + "mod".len())?)))
            .collect()
    }

    /// Marks every line as belonging to tests.
    pub(super) fn mark_as_test(&mut self) {
        self.test.fill(true);
    }

    /// Returns the lines of code, each with its number from 1 and whether it belongs to tests.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line, self.is_test(index + 1)))
    }

    /// Whether the line, counted from 1, belongs to tests.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or_default()
    }

    /// Returns the number, from 1, of the line with this byte of the code.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    pub(super) fn finding(&self, line: usize, text: String) -> Finding {
        Finding { file: self.name.clone(), line, text }
    }
}

/// Whether this byte of `code` starts a word.
pub(super) fn starts_word(code: &str, offset: usize) -> bool {
    !code[..offset].ends_with(is_of_word)
}

/// Returns the offsets of `word` as a whole word.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let after = &code[offset + word.len()..];
        starts_word(code, offset) && !after.starts_with(is_of_word)
    })
}

/// Returns the name at the start of `code[at..]`, behind any spaces.
pub(super) fn name_at(code: &str, at: usize) -> Option<&str> {
    let rest = &code[skip_space(code, at)..];
    let length = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
    Some(&rest[..length]).filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// Returns every name and keyword in the code.
pub(super) fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty())
}

/// Returns the offset of the first character at or after `at` that is not a space.
pub(super) fn skip_space(code: &str, at: usize) -> usize {
    code.len() - code[at..].trim_start().len()
}

/// Returns the offset after the bracket that closes the one at `start`.
pub(super) fn bracketed(code: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth <= 1 => return start + at + 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Returns the offset after the item that starts at `start`: after its braces or its semicolon.
pub(super) fn item_end(code: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(found) = code[at..].find(['(', '[', '{', '}', ';']) {
        at += found;
        match code.as_bytes()[at] {
            b';' => return at + 1,
            // The end of the item around a field or a variant.
            b'}' => return at,
            b'{' => return bracketed(code, at),
            _ => at = bracketed(code, at),
        }
    }
    code.len()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces comments and literals with spaces. Line breaks stay.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match literal(rest, code.chars().next_back()) {
            Some(length) => (length, false),
            None => (first.len_utf8(), true),
        };
        let (token, after) = rest.split_at(length);
        code.extend(token.chars().map(|c| if keep || c == '\n' { c } else { ' ' }));
        rest = after;
    }
    code
}

/// Returns the length of the comment or literal at the start of `rest`, which follows the character
/// `before`.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let in_word = before.is_some_and(is_of_word);
    let prefix = usize::from(!in_word && rest.starts_with(['b', 'c']));
    let after = &rest[prefix..];
    let raw = after.strip_prefix('r').filter(|_| !in_word).and_then(raw_string);
    if let Some(length) = raw {
        return Some(prefix + 1 + length);
    }
    if after.starts_with('"') {
        return Some(prefix + quoted(after, '"'));
    }
    (after.starts_with('\'') && is_character(after)).then(|| prefix + quoted(after, '\''))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Returns the length of `"..."` with any number of `#` around it; `None` if this is something else.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether this is a character literal and not a lifetime: it is escaped, or closes after one character.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

fn test_lines(name: &str, code: &str) -> Vec<bool> {
    let lines = code.lines().count();
    if name.contains("/tests/") || name.ends_with("tests.rs") || name.contains("/benches/") {
        return vec![true; lines];
    }
    let mut test = vec![false; lines];
    for mark in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(mark) {
            let end = item_end(code, start + mark.len());
            let first = code[..start].matches('\n').count();
            let last = code[..end].matches('\n').count();
            test.iter_mut().take(last + 1).skip(first).for_each(|line| *line = true);
        }
    }
    test
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, blank};

    #[test]
    fn comments_and_literals_are_blanked_and_all_else_stays() {
        let cases = [
            ("let a = \"unsafe\"; // unsafe", "let a =         ;          "),
            ("/* a /* b */ c */ fn", "                  fn"),
            ("r#\"x\"y\"# z", "         z"),
            ("for 'a in b'c' '\\'' br\"d\"", "for 'a in           "),
            ("'static str 'x'", "'static str    "),
            ("bar\"x\"", "bar   "),
        ];
        for (text, code) in cases {
            assert_eq!(blank(text).trim_end(), code.trim_end(), "{text}");
            assert_eq!(blank(text).chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn test_modules_and_test_files_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = SourceFile::new("userspace/src/stun.rs", text);
        let test: Vec<_> = source.code_lines().map(|(_, _, test)| test).collect();
        assert_eq!(test, [false, true, true, true, true, false]);
        assert!(SourceFile::new("userspace/src/stun/tests.rs", "fn a() {}\n").is_test(1));
        let source = SourceFile::new("src/a.rs", "#[cfg(test)]\nmod model;\nmod b;\nfn a() {}\n");
        assert!(!source.is_test(4));
        assert_eq!(source.test_modules(), ["src/a/model"]);
    }
}
