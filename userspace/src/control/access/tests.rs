use super::Access;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::outcome::Outcome;
use crate::stun::{Exchange, Policy, integrity::Integrity, respond};
use clap::Parser as _;
use std::fs::write;
use std::path::Path;

fn config(file: &Path) -> Config {
    let flags = ["xstun", "serve", "--auth", "short-term", "--credentials", file.to_str().unwrap()];
    let Command::Serve(args) = Cli::parse_from(flags).command else { unreachable!("`serve` was parsed") };
    Config::from_args(&args, &[0]).unwrap()
}

/// What becomes of a request that anna signs with this password.
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
    let access = Access::new().unwrap();
    let mut before = config(&file);
    assert_eq!(access.open(&mut before).unwrap(), Some(1));
    assert_eq!(ask(&before.policy, "first"), Outcome::Answered);

    write(&file, "anna:second\nbert:x").unwrap();
    let mut after = config(&file);
    assert_eq!(access.open(&mut after).unwrap(), Some(2));
    assert_eq!(ask(&after.policy, "first"), Outcome::Unauthenticated);
    assert_eq!(ask(&after.policy, "second"), Outcome::Answered);

    write(&file, "anna").unwrap();
    assert!(access.open(&mut config(&file)).is_err());
    let mut open = Config { access: None, ..config(&file) };
    assert_eq!(access.open(&mut open).unwrap(), None);
}
