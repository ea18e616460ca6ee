use super::{LONGEST_FILE, LONGEST_NAME, parse, read, read_password};
use crate::error::FailureKind;
use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

fn pairs(text: &str) -> Vec<(String, String)> {
    let users = parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
    users.into_iter().map(|user| (user.name, user.password)).collect()
}

#[test]
fn a_line_is_a_user_and_the_first_colon_ends_the_name() {
    let text = "# our users\n\nanna:correct horse\r\n  \nbert:a:b:\nzoe: with spaces \n#zoe:old";
    let expected = [("anna", "correct horse"), ("bert", "a:b:"), ("zoe", " with spaces ")];
    let owned = expected.map(|(name, password)| (name.to_owned(), password.to_owned()));
    assert_eq!(pairs(text), owned);
    assert_eq!(pairs(&format!("{}:x", "n".repeat(LONGEST_NAME))).len(), 1);
}

#[test]
fn a_mistake_is_reported_by_its_line_and_without_the_password() {
    let long = format!("{}:hunter2", "n".repeat(LONGEST_NAME + 1));
    let table = [
        ("", "it contains no user"),
        ("# anna:hunter2\n\n", "it contains no user"),
        ("anna:x\nhunter2\n", "line 2: expected name:password"),
        (":hunter2", "line 1: the name is empty"),
        ("\n\nanna:", "line 3: the password is empty"),
        ("anna:x\nbert:y\nanna:hunter2", "line 3: the name is already on line 1"),
        ("jürgen:hunter2", "line 1: the name has characters beyond ASCII"),
        ("anna:hünter2", "line 1: the password has characters beyond ASCII"),
        ("anna:hunter2\u{fffd}", "line 1: the password has characters beyond ASCII"),
        ("anna:hunter2\t", "line 1: the password has a control character"),
        (&long, "line 1: the name is longer than 508 bytes"),
    ];
    for (text, expected) in table {
        let Err(why) = parse(text) else { panic!("{text:?} was taken") };
        assert!(why.contains(expected), "{text:?} said: {why}");
        assert!(!why.contains("nter2"), "the password is shown: {why}");
    }
}

#[test]
fn a_failure_names_the_flag_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let missing = read(&path).err().unwrap();
    assert_eq!(missing.kind(), FailureKind::System);
    assert!(missing.to_string().starts_with(&format!("cannot read --credentials {}", path.display())));

    write(&path, "anna").unwrap();
    let wrong = read(&path).err().unwrap();
    assert_eq!(wrong.kind(), FailureKind::Usage);
    assert!(wrong.to_string().starts_with(&format!("--credentials {}: line 1", path.display())));

    write(&path, b"anna:\xff\xfe").unwrap();
    assert!(read(&path).err().unwrap().to_string().contains("beyond ASCII"));

    write(&path, vec![b'#'; LONGEST_FILE as usize + 1]).unwrap();
    assert!(read(&path).err().unwrap().to_string().contains("longer than 16 MiB"));
}

#[test]
fn a_world_readable_file_is_recognized() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    write(&path, "anna:x").unwrap();
    for (mode, is_public) in [(0o600, false), (0o640, false), (0o644, true)] {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&path).unwrap().is_public, is_public, "{mode:o}");
    }
}

#[test]
fn a_password_is_the_first_line_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    write(&path, "correct horse\nsecond line").unwrap();
    assert_eq!(read_password(&path).unwrap(), "correct horse");
    write(&path, "\n").unwrap();
    let empty = read_password(&path).unwrap_err().to_string();
    assert_eq!(empty, format!("--password-file {}: the password is empty", path.display()));
}
