//! Credentials: where the users are found and how they authenticate.

use crate::cli::{CredentialsArgs, Mechanism};
use crate::error::{Failure, Result};
use std::path::PathBuf;
use xstun_core::stun::credentials::Realm;

/// Where the users are found, and by which mechanism they authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CredentialsConfig {
    /// The file with names and passwords.
    pub(crate) file: PathBuf,
    /// The realm of long-term credentials; `None` for short-term ones.
    pub(crate) realm: Option<Realm>,
}

impl CredentialsConfig {
    /// Checks the options. `None` if everybody is answered.
    pub(super) fn from_args(args: &CredentialsArgs) -> Result<Option<Self>> {
        let CredentialsArgs { credentials, auth, realm } = args;
        let Some(file) = credentials else {
            let flag = match (auth, realm) {
                (Some(_), _) => "--auth",
                (None, Some(_)) => "--realm",
                (None, None) => return Ok(None),
            };
            return Err(Failure::usage(format!("{flag} requires --credentials"))
                .of(flag)
                .remedy("name the file of users with --credentials FILE"));
        };
        let realm = match (auth.unwrap_or_default(), realm) {
            (Mechanism::LongTerm, Some(text)) => Some(Realm::new(text).ok_or_else(|| {
                Failure::usage(format!(
                    "--realm '{text}' must have 1 to {} printable ASCII characters, and none of \" and \\",
                    Realm::MAX
                ))
                .of_value("--realm", text)
            })?),
            (Mechanism::LongTerm, None) => {
                return Err(Failure::usage("--credentials of the long-term mechanism require --realm")
                    .of("--credentials")
                    .of("--auth")
                    .remedy("use the domain name that clients know, or --auth short-term"));
            }
            (Mechanism::ShortTerm, None) => None,
            (Mechanism::ShortTerm, Some(_)) => {
                return Err(Failure::usage("--realm cannot be combined with --auth short-term")
                    .of("--realm")
                    .of_value("--auth", "short-term")
                    .remedy("remove --realm"));
            }
        };
        Ok(Some(CredentialsConfig { file: file.clone(), realm }))
    }
}
