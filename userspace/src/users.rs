//! Files with passwords: the users of `xstun serve`, and the password of `xstun probe`.

use crate::error::{Failure, Result};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longest name, in bytes (RFC 8489 §14.3).
const LONGEST_NAME: usize = 508;
/// Longest file that is read, in bytes: more than that is a wrong file, or one without end.
const LONGEST_FILE: u64 = 16 << 20;

/// A name and a password, both as OpaqueString (RFC 8265 §4.2) prepares them: which leaves ASCII text
/// as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// USERNAME's value.
    pub name: String,
    /// Never shown.
    pub password: String,
}

/// What a file of users holds.
pub struct Users {
    /// At least one, no name twice.
    pub users: Vec<User>,
    /// Whether anybody on this host may read the file.
    pub is_public: bool,
}

/// Reads the users from `path`: a line `name:password` for each, the password being all behind the first
/// colon. Empty lines, and those that begin with `#`, are skipped.
///
/// # Errors
/// The file cannot be read, or a line of it is wrong: which one and why, without what stands there.
pub fn read(path: &Path) -> Result<Users> {
    let file = format!("--credentials {}", path.display());
    let failed = |error| {
        Failure::system(format!("cannot read {file}")).because(error).remedy("check its path and its rights")
    };
    let opened = File::open(path).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let text = text(opened, &file)?;
    let users = parse(&text).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    Ok(Users { users, is_public: metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 })
}

/// Reads a password: the first line of `path`, or of standard input where that is `-`.
///
/// # Errors
/// It cannot be read, or is no password.
pub fn read_password(path: &Path) -> Result<String> {
    let file = format!("--password-file {}", path.display());
    let text = if path == Path::new("-") {
        text(io::stdin().lock(), &file)?
    } else {
        let failed = |error| Failure::system(format!("cannot read {file}")).because(error);
        text(File::open(path).map_err(failed)?, &file)?
    };
    let password = text.lines().next().unwrap_or_default();
    prepared("password", password).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    Ok(password.to_owned())
}

/// Checks a name as one is typed.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    prepared("name", name)?;
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
    // What is no text is refused line by line, with the line's number.
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
        let (name, password) = line
            .split_once(':')
            .ok_or_else(|| at_line("there is no ':' between name and password".to_owned()))?;
        check_name(name).map_err(at_line)?;
        prepared("password", password).map_err(at_line)?;
        if let Some(first) = lines.insert(name, number) {
            return Err(at_line(format!("the name of line {first} again")));
        }
        users.push(User { name: name.to_owned(), password: password.to_owned() });
    }
    if users.is_empty() {
        return Err("there is no user in it, so nobody could ask".to_owned());
    }
    Ok(users)
}

/// Whether OpaqueString leaves the text as it is.
fn prepared(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if !text.is_ascii() {
        return Err(format!(
            "the {what} has characters beyond ASCII, which clients may write in more than one way; use ASCII"
        ));
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("the {what} has a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
