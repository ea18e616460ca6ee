//! One value at a time, parsed by the flag's own parser.

use super::key::ConfigKey;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};

/// Checks that the flag takes this value.
///
/// # Errors
/// The reason, for a message that names the key before it.
pub(super) fn judge(serve: &Command, key: &ConfigKey, value: &OsStr) -> Result<(), String> {
    let Err(error) = serve.clone().try_get_matches_from([OsStr::new("serve"), &argument(key, value)]) else {
        return Ok(());
    };
    let shown = value.display();
    match error.kind() {
        // Flags that require or exclude each other are checked when all are known.
        ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict => Ok(()),
        ErrorKind::InvalidValue => {
            let possible = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) if !values.is_empty() => values.join(", "),
                _ => return Err("it must not be empty".to_owned()),
            };
            Err(format!("'{shown}' is not one of {possible}"))
        }
        _ => Err(match error.source() {
            Some(why) => format!("'{shown}': {why}"),
            None => format!("'{shown}' is not a valid value"),
        }),
    }
}

/// Returns the value of the flag when it is given without one, if that is possible.
pub(super) fn bare(serve: &Command, key: &ConfigKey) -> Option<OsString> {
    let words = ["serve".to_owned(), format!("--{}", key.name)];
    let matches = serve.clone().try_get_matches_from(words).ok()?;
    Some(matches.get_raw(key.id())?.next()?.to_os_string())
}

/// Returns the flag with its value, as one word of a command line.
pub(super) fn argument(key: &ConfigKey, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{}=", key.name));
    word.push(value);
    word
}
