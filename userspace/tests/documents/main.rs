//! Holds the documents and the files in `deploy/` to the program.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod dependencies;
mod deploy;
mod figures;
mod links;
mod markdown;
mod operations;
mod options;
mod threats;

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of a file below the workspace's directory.
fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of every Rust source below `directory`.
fn sources(directory: &str) -> String {
    let mut text = String::new();
    collect(&root().join(directory), "rs", &mut |path| text.push_str(&fs::read_to_string(path).unwrap()));
    text
}

/// Calls `visit` with every file below `directory` that has this extension, but for what cargo and git keep.
fn collect(directory: &Path, extension: &str, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && (name == "target" || name.starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, visit);
        } else if path.extension().is_some_and(|own| own == extension) {
            visit(&path);
        }
    }
}
