use super::CredentialStore;
use crate::cli::{Cli, Command};
use crate::config::{Config, LiveConfig};
use clap::Parser as _;
use std::fs::write;
use std::path::Path;
use xstun_core::outcome::Outcome;
use xstun_core::stun::{Exchange, Policy, integrity::Integrity, respond};

fn live(flags: &[&str]) -> LiveConfig {
    let words = ["xstun", "serve"].iter().chain(flags);
    let Command::Serve(args) = Cli::parse_from(words).command else { unreachable!("`serve` was parsed") };
    Config::from_args(&args, &[0]).unwrap().live
}

/// The configuration with this file of users.
fn with(file: &Path) -> LiveConfig {
    live(&["--auth", "short-term", "--credentials", file.to_str().unwrap()])
}

/// Returns the outcome of a request that anna signs with this password.
fn ask(policy: &Policy, password: &str) -> Outcome {
    let mut buffer = vec![0; 400];
    buffer[..28].copy_from_slice(b"\0\x01\0\x08\x21\x12\xa4\x42abcdefghijkl\0\x06\0\x04anna");
    let length = Integrity::Sha256.append(password.as_bytes(), &mut buffer, 28).unwrap();
    let source = "192.0.2.7:4000".parse().unwrap();
    respond(&mut buffer, length, Exchange::datagram(&source, || "192.0.2.1:3478".parse().unwrap()), policy)
        .outcome
}

#[test]
fn users_come_and_go_with_their_file_and_a_nonce_outlives_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    write(&file, "anna:first").unwrap();
    let store = CredentialStore::new().unwrap();
    let (before, users) = store.policy(&with(&file)).unwrap();
    assert_eq!(users, Some(1));
    assert_eq!(ask(&before, "first"), Outcome::Answered);

    write(&file, "anna:second\nbert:x").unwrap();
    let (after, users) = store.policy(&with(&file)).unwrap();
    assert_eq!(users, Some(2));
    assert_eq!(ask(&after, "first"), Outcome::Unauthenticated);
    assert_eq!(ask(&after, "second"), Outcome::Answered);

    write(&file, "anna").unwrap();
    assert!(store.policy(&with(&file)).is_err());
    assert_eq!(store.policy(&live(&[])).unwrap().1, None);
}
