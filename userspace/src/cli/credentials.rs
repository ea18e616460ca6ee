//! Options for credentials: those that a server accepts, and those that a client sends.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of `xstun serve` that restrict it to users.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialsArgs {
    /// Answer only the users in this file, one `name:password` per line; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Credential mechanism (RFC 8489 §9) [default: long-term]
    #[arg(long, value_enum, value_name = "MECHANISM")]
    pub(crate) auth: Option<Mechanism>,

    /// Realm of long-term credentials, usually the domain name of the provider
    #[arg(long, value_name = "TEXT")]
    pub(crate) realm: Option<String>,
}

/// Options of `xstun probe` that authenticate the client.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProbeCredentialsArgs {
    /// Authenticate as this user
    #[arg(long, value_name = "NAME", requires = "password_file", conflicts_with = "classic")]
    pub(crate) user: Option<String>,

    /// File whose first line is the user's password; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,

    /// Credential mechanism (RFC 8489 §9) [default: long-term]
    #[arg(long, value_enum, value_name = "MECHANISM", requires = "user")]
    pub(crate) auth: Option<Mechanism>,
}

/// Value of `--auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// Proof in the first request: the password was agreed on by other means (RFC 8489 §9.1).
    ShortTerm,
    /// Proof after a challenge with realm and nonce (RFC 8489 §9.2).
    #[default]
    LongTerm,
}
