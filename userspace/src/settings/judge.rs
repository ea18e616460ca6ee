//! A single value, judged by the flag's own parser.

use super::key::Key;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};

/// Whether the flag takes this value.
///
/// # Errors
/// Why not, for a message that names the key before it.
pub(super) fn judge(serve: &Command, key: &Key, value: &OsStr) -> Result<(), String> {
    let Err(error) = serve.clone().try_get_matches_from([OsStr::new("serve"), &argument(key, value)]) else {
        return Ok(());
    };
    let shown = value.display();
    match error.kind() {
        // What other flags must be there, or must not, is asked when all are together.
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict => Ok(()),
        ErrorKind::InvalidValue => {
            let possible = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) if !values.is_empty() => values.join(", "),
                _ => return Err("it must not be empty".to_owned()),
            };
            Err(format!("'{shown}' is none of {possible}"))
        }
        _ => Err(match error.source() {
            Some(why) => format!("'{shown}': {why}"),
            None => format!("'{shown}' is not what it takes"),
        }),
    }
}

/// What a flag without its value stands for, if it can be given so.
pub(super) fn bare(serve: &Command, key: &Key) -> Option<OsString> {
    let words = ["serve".to_owned(), format!("--{}", key.name)];
    let matches = serve.clone().try_get_matches_from(words).ok()?;
    Some(matches.get_raw(key.id())?.next()?.to_os_string())
}

/// The flag with its value, as one word of a command line.
pub(super) fn argument(key: &Key, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{}=", key.name));
    word.push(value);
    word
}
