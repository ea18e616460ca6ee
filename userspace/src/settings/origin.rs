//! Where a value comes from: the file, the environment or the command line.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A line and a column of a file, both from 1; the column counts characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePosition {
    /// The file, as the operator named it.
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl FilePosition {
    /// Returns the position of the byte range `span` of `text`, which is the content of `file`.
    pub(super) fn of(file: &Arc<Path>, text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        FilePosition {
            file: Arc::clone(file),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Where the value of a key comes from. Each takes precedence over those above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The value is the default.
    Default,
    /// The key stands in the configuration file at this position.
    File(FilePosition),
    /// The environment variable of this name.
    Environment(String),
    /// The flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(position) => write!(f, "{}:{}", position.file.display(), position.line),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag => f.write_str("command line"),
        }
    }
}
