//! Files with credentials: the users of `xstun serve`, and the password of `xstun probe`.

use crate::error::{Failure, Result};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longest name, in bytes (RFC 8489 §14.3).
const LONGEST_NAME: usize = 508;
/// Longest file that is read, in bytes; a longer one is the wrong file, or has no end.
const LONGEST_FILE: u64 = 16 << 20;

/// A name and a password, both as prepared by OpaqueString (RFC 8265 §4.2), which leaves ASCII text unchanged.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// Value of USERNAME.
    pub(crate) name: String,
    /// Never logged or shown.
    pub(crate) password: String,
}

/// The content of a credentials file.
pub(crate) struct CredentialsFile {
    /// At least one, no name twice.
    pub(crate) users: Vec<User>,
    /// Whether every user of this host may read the file.
    pub(crate) is_public: bool,
}

/// Reads the users from `path`: a line `name:password` for each; the password is everything after the first
/// colon. Skips empty lines and those that begin with `#`.
///
/// # Errors
/// System: the file cannot be read. Usage: a line of it is wrong; the sentence has its number and the reason,
/// not its content.
pub(crate) fn read(path: &Path) -> Result<CredentialsFile> {
    read_named(path).map_err(|failure| failure.of_value("--credentials", path.display()))
}

fn read_named(path: &Path) -> Result<CredentialsFile> {
    let file = format!("--credentials {}", path.display());
    let failed = |error| {
        Failure::system(format!("cannot read {file}")).because(error).remedy("check its path and permissions")
    };
    let opened = File::open(path).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let text = text(opened, &file)?;
    let users = parse(&text).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    Ok(CredentialsFile { users, is_public: metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 })
}

/// Reads a password: the first line of `path`, or of standard input if that is `-`.
///
/// # Errors
/// System: the file cannot be read. Usage: the line is not a password.
pub(crate) fn read_password(path: &Path) -> Result<String> {
    let file = format!("--password-file {}", path.display());
    let text = if path == Path::new("-") {
        text(io::stdin().lock(), &file)?
    } else {
        let failed = |error| Failure::system(format!("cannot read {file}")).because(error);
        text(File::open(path).map_err(failed)?, &file)?
    };
    let password = text.lines().next().unwrap_or_default();
    check_prepared("password", password).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    Ok(password.to_owned())
}

/// Checks a user's name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    check_prepared("name", name)?;
    if name.len() > LONGEST_NAME {
        return Err(format!("the name is longer than {LONGEST_NAME} bytes"));
    }
    Ok(())
}

fn text(reader: impl Read, file: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(LONGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::system(format!("cannot read {file}")).because(error))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Failure::usage(format!("{file} is longer than {} MiB", LONGEST_FILE >> 20)));
    }
    // Invalid UTF-8 becomes a character beyond ASCII, which is refused with the number of its line.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut lines: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let at_line = |why: String| format!("line {number}: {why}");
        let (name, password) =
            line.split_once(':').ok_or_else(|| at_line("expected name:password".to_owned()))?;
        check_name(name).map_err(at_line)?;
        check_prepared("password", password).map_err(at_line)?;
        if let Some(first) = lines.insert(name, number) {
            return Err(at_line(format!("the name is already on line {first}")));
        }
        users.push(User { name: name.to_owned(), password: password.to_owned() });
    }
    if users.is_empty() {
        return Err("it contains no user: every request would be refused".to_owned());
    }
    Ok(users)
}

/// Checks that OpaqueString leaves the text unchanged.
fn check_prepared(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if !text.is_ascii() {
        return Err(format!(
            "the {what} has characters beyond ASCII, which clients may encode in more than one way; use ASCII"
        ));
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("the {what} has a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
