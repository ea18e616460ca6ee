//! Tables of a document that `cargo xtask vm --bless` writes, each between two lines of its own.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// One table.
pub(super) struct RecordedTable {
    name: &'static str,
}

impl RecordedTable {
    pub(super) const fn new(name: &'static str) -> Self {
        RecordedTable { name }
    }

    /// The line before the table.
    pub(super) fn begin(&self) -> String {
        format!("<!-- cargo xtask vm --bless, {}: from here -->", self.name)
    }

    /// The line after the table.
    pub(super) fn end(&self) -> String {
        format!("<!-- cargo xtask vm --bless, {}: to here -->", self.name)
    }

    /// What is between the two lines.
    ///
    /// # Errors
    /// The document cannot be read, or lacks the lines.
    pub(super) fn read(&self, document: &Path) -> Result<String> {
        let text = load(document)?;
        let (_, kept, _) = self.split(&text).with_context(|| self.no_lines(document))?;
        Ok(kept.to_owned())
    }

    /// Writes what `new` makes of what is between the two lines.
    ///
    /// # Errors
    /// The document cannot be read or written, or lacks the lines.
    pub(super) fn replace(&self, document: &Path, new: impl FnOnce(&str) -> String) -> Result<()> {
        let text = load(document)?;
        let (before, kept, after) = self.split(&text).with_context(|| self.no_lines(document))?;
        fs::write(document, format!("{before}\n\n{}\n{after}", new(kept)))
            .with_context(|| format!("cannot write {}", document.display()))
    }

    /// The text up to the first line, the table, and the text from the second line on.
    fn split<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let (begin, end) = (self.begin(), self.end());
        let start = text.find(&begin)? + begin.len();
        let stop = start + text[start..].find(&end)?;
        Some((&text[..start], &text[start..stop], &text[stop..]))
    }

    fn no_lines(&self, document: &Path) -> String {
        let (begin, end) = (self.begin(), self.end());
        format!("{} has no lines '{begin}' and '{end}' around the table", document.display())
    }
}

fn load(document: &Path) -> Result<String> {
    fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))
}
