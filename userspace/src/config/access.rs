//! Who may ask, as the flags say it.

use crate::cli::{AccessArgs, Mechanism};
use crate::error::{Failure, Result};
use crate::stun::credentials::Realm;
use std::path::PathBuf;

/// Where the users are found, and how they prove that they are who they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file with names and passwords.
    pub file: PathBuf,
    /// The realm of long-term credentials; short-term ones without it.
    pub realm: Option<Realm>,
}

impl Access {
    /// Checks the flags. `None` where everybody may ask.
    pub(super) fn from_args(args: &AccessArgs) -> Result<Option<Self>> {
        let AccessArgs { credentials, auth, realm } = args;
        let Some(file) = credentials else {
            let flag = match (auth, realm) {
                (Some(_), _) => "--auth",
                (None, Some(_)) => "--realm",
                (None, None) => return Ok(None),
            };
            return Err(Failure::usage(format!("{flag} is of no use without credentials"))
                .remedy("name the file of users with --credentials"));
        };
        let realm = match (auth.unwrap_or_default(), realm) {
            (Mechanism::LongTerm, Some(text)) => Some(Realm::new(text).ok_or_else(|| {
                Failure::usage(format!(
                    "--realm '{text}' must have 1 to {} printable ASCII characters, and none of \" and \\",
                    Realm::MAX
                ))
            })?),
            (Mechanism::LongTerm, None) => {
                return Err(Failure::usage("--credentials of the long-term mechanism need a --realm")
                    .remedy("take the domain name that clients know, or --auth short-term"));
            }
            (Mechanism::ShortTerm, None) => None,
            (Mechanism::ShortTerm, Some(_)) => {
                return Err(Failure::usage("--realm is of no use with --auth short-term"));
            }
        };
        Ok(Some(Access { file: file.clone(), realm }))
    }
}
