//! Hands the eBPF object to the library: `XSTUN_EBPF_PATH` names a copy of it, or an empty file
//! where there is none (`cargo xtask build` makes one). A build without it stays whole: it serves
//! over sockets, and says at run time how to get the object.

use std::env::{var, var_os};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The variable that names an object at another place than the usual one.
const OBJECT: &str = "XSTUN_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    if var_os("CARGO_FEATURE_AF_XDP").is_none() {
        return Ok(());
    }
    let out = PathBuf::from(var_os("OUT_DIR").expect("cargo sets OUT_DIR for every build script"));
    let manifest = var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for every build script");

    println!("cargo:rerun-if-env-changed={OBJECT}");
    let embedded = out.join("xstun-ebpf.o");
    println!("cargo:rustc-env=XSTUN_EBPF_PATH={}", embedded.display());
    if let Some(object) = var_os(OBJECT).map(PathBuf::from) {
        // Whoever names an object means that one, whatever its age.
        println!("cargo:rerun-if-changed={}", object.display());
        return fs::copy(&object, &embedded).map(drop).map_err(|error| {
            io::Error::new(error.kind(), format!("{OBJECT} names {}: {error}", object.display()))
        });
    }

    let object = usual_object(&out, &manifest);
    let crates = ["../xdp-ebpf", "../core"].map(|directory| Path::new(&manifest).join(directory));
    let sources = crates.each_ref().map(|directory| [directory.join("src"), directory.join("Cargo.toml")]);
    let sources = sources.as_flattened();
    for path in sources.iter().chain([&object]) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    let Some(built) = modified(&object)? else {
        placeholder(&object);
        return File::create(&embedded).map(drop);
    };
    if newest(sources)? > built {
        println!(
            "cargo:warning=the eBPF object is older than xdp-ebpf or core and is left out: run `cargo xtask build`"
        );
        return File::create(&embedded).map(drop);
    }
    fs::copy(&object, &embedded).map(drop)
}

/// `xstun-ebpf.o` in cargo's target directory. That stands above `OUT_DIR`, which is
/// `<target>[/<triple>]/<profile>/build/<package>/out`; where cargo is configured to keep such files
/// elsewhere, the workspace's own is taken.
fn usual_object(out: &Path, manifest: &str) -> PathBuf {
    let named = |directory: &Path, name: &str| directory.file_name().is_some_and(|found| found == name);
    let above = out.ancestors().nth(2).filter(|directory| named(directory, "build"));
    let above = above.and_then(|build| build.ancestors().nth(2));
    let triple = var("TARGET").unwrap_or_default();
    let target = match above {
        Some(directory) if named(directory, &triple) => directory.parent().map(Path::to_owned),
        other => other.map(Path::to_owned),
    };
    target.unwrap_or_else(|| Path::new(manifest).join("../target")).join("xstun-ebpf.o")
}

/// When the object was made; nothing where there is none, or only the placeholder.
fn modified(object: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(object) {
        Ok(metadata) if metadata.len() > 0 => metadata.modified().map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Cargo runs a build script whenever a file that it watches is missing, and then compiles the whole
/// crate again. An empty file with the oldest of times can be watched, and changes when the object
/// appears. Where it cannot be written, builds are only slower.
fn placeholder(object: &Path) {
    if !object.exists()
        && let Ok(file) = File::create(object)
    {
        let _ = file.set_modified(SystemTime::UNIX_EPOCH);
    }
}

/// The time of the newest file among these and below them.
fn newest(paths: &[PathBuf]) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in paths {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
            newest = newest.max(self::newest(&entries.collect::<io::Result<Vec<_>>>()?)?);
        } else {
            newest = newest.max(metadata.modified()?);
        }
    }
    Ok(newest)
}
