//! The asking side: one question like a person's, or millions.

pub mod load;
mod login;
mod message;
pub mod probe;
mod server;
pub mod top;

use crate::error::{Failure, Result};
use std::io::{self, Write};
use std::process::ExitCode;

/// How asking ended, where nothing but the answer decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The server answered as it should.
    Answered,
    /// Some replies were not what they should be.
    Wrong,
    /// No reply came in time.
    NoAnswer,
    /// The network or the server said no.
    Refused,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        ExitCode::from(match ending {
            Ending::Answered => 0,
            Ending::Wrong => 1,
            Ending::NoAnswer => 3,
            Ending::Refused => 4,
        })
    }
}

/// Prints a result to standard output. A reader that has gone away has read enough: that is no error.
///
/// # Errors
/// It could not be written.
pub fn tell(text: &str) -> Result<()> {
    print(&mut io::stdout().lock(), text)
}

/// Prints a result. A reader that has gone away has read enough: that is no error.
fn print(out: &mut dyn Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system("cannot write the result to standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// Says one sentence to the person at the terminal, who need not be there.
fn say(err: &mut dyn Write, sentence: &str) {
    let _ = writeln!(err, "xstun: {sentence}");
}

/// `count` of a thing, as one says it.
fn count(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
