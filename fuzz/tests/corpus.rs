//! Runs the kept corpora through the fuzz targets once, with any compiler.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use xstun_fuzz::targets;

#[test]
fn every_kept_input_passes_its_target() {
    for (name, run) in targets::ALL {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            assert!(
                catch_unwind(|| run(&input)).is_ok(),
                "reproduce it with\n  cargo xtask fuzz {name} --replay {}",
                path.display()
            );
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", directory.display());
    }
}
