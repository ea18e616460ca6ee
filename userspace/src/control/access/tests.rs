use super::Access;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::outcome::Outcome;
use crate::stun::{Exchange, Policy, integrity::Integrity, respond};
use arc_swap::ArcSwap;
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
fn users_come_and_go_with_their_file_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    write(&file, "anna:first").unwrap();
    let mut config = config(&file);
    let access = Access::open(&mut config).unwrap().unwrap();
    let policy = ArcSwap::from_pointee(config.policy);
    assert_eq!(ask(&policy.load(), "first"), Outcome::Answered);

    write(&file, "anna:second\nbert:x").unwrap();
    assert_eq!(ask(&policy.load(), "first"), Outcome::Answered, "nobody asked for it to be read");
    assert_eq!(access.reload(&policy).unwrap(), 2);
    assert_eq!(ask(&policy.load(), "first"), Outcome::Unauthenticated);
    assert_eq!(ask(&policy.load(), "second"), Outcome::Answered);

    write(&file, "anna").unwrap();
    assert!(access.reload(&policy).is_err());
    assert_eq!(ask(&policy.load(), "second"), Outcome::Answered);
}
