//! Standard output, and words that several commands print.

use crate::error::{Failure, Result};
use std::io::{self, Write};

/// Prints the result of a command to standard output. A closed pipe is no error: its reader has read
/// all that it wanted.
///
/// # Errors
/// System: standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

/// Does what [`print()`] does, on any writer.
///
/// # Errors
/// System: `out` cannot be written.
pub(crate) fn print_to(out: &mut dyn Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system("cannot write the result to standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// A count and its noun: `1 queue`, `2 queues`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
