//! Every name in the last column of the threat model is a test, a fuzz target or a command.

use crate::markdown::{code, rows};
use crate::{read, root, sources};

/// The directories in which a crate keeps sources that may hold tests.
const DIRECTORIES: [&str; 3] = ["src", "tests", "fuzz_targets"];

/// Every source of the workspace that may hold tests.
fn tests() -> String {
    let mut text = String::new();
    for entry in root().read_dir().unwrap() {
        let package = entry.unwrap().file_name().into_string().unwrap();
        for directory in DIRECTORIES.map(|name| format!("{package}/{name}")) {
            if root().join(&directory).is_dir() {
                text += &sources(&directory);
            }
        }
    }
    text
}

#[test]
fn every_threat_is_held_by_something_that_exists() {
    let tests = tests();
    let mut count = 0;
    for row in rows(&read("docs/threat-model.md"), "threat") {
        let [threat, _, held] = &row[..] else { panic!("{row:?}") };
        let names: Vec<_> = code(held).filter(|name| !name.starts_with("cargo ")).collect();
        assert!(!names.is_empty() || held.contains("cargo "), "no test holds: {threat}");
        for name in names {
            let is_fuzz = root().join(format!("fuzz/fuzz_targets/{name}.rs")).exists();
            assert!(is_fuzz || tests.contains(&format!("fn {name}(")), "there is no test {name}");
            count += 1;
        }
    }
    assert!(count > 30, "the table was read");
}
