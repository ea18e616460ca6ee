//! Flags of who may ask.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags of `xstun serve` that close the server to all but its users.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessArgs {
    /// Answer only the users in this file, one `name:password` a line; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// How users prove their password (RFC 8489 §9) [default: long-term]
    #[arg(long, value_enum, value_name = "MECHANISM")]
    pub auth: Option<Mechanism>,

    /// Realm that long-term credentials are for, usually the provider's domain name
    #[arg(long, value_name = "TEXT")]
    pub realm: Option<String>,
}

/// Flags of `xstun probe` that prove who asks.
#[derive(Args, Clone, Debug, Default)]
pub struct LoginArgs {
    /// Ask as this user
    #[arg(long, value_name = "NAME", requires = "password_file", conflicts_with = "classic")]
    pub user: Option<String>,

    /// File whose first line is the user's password; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,

    /// How the password is proven [default: long-term]
    #[arg(long, value_enum, value_name = "MECHANISM", requires = "user")]
    pub auth: Option<Mechanism>,
}

/// `--auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// With the first request: the password was agreed on by other means (RFC 8489 §9.1).
    ShortTerm,
    /// After a challenge: a log-in with realm and nonce (RFC 8489 §9.2).
    #[default]
    LongTerm,
}
