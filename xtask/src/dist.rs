//! `cargo xtask dist`: builds the Debian package and the archive with a static binary, which include
//! manual pages, completions, licences and a list of components.

mod archive;
mod check;
mod container;
mod licences;
mod machine;

use crate::build;
use crate::run::{ask, exec, output};
use crate::setup::{self, Needs};
use crate::tool::{Tool, with_tools};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of all members of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", why: "it builds the Debian package" };
const CARGO_CYCLONEDX: Tool =
    Tool { name: "cargo-cyclonedx", version: "0.5.9", why: "it lists the components (SBOM)" };

/// What was built, and where.
struct Artifacts {
    /// `target/dist`.
    directory: PathBuf,
    /// The Debian package.
    deb: PathBuf,
    /// The contents of the archive, unpacked.
    unpacked: PathBuf,
}

/// Builds everything. With `check`, also installs, runs and removes the package in a Debian system of its
/// own.
///
/// # Errors
/// Something cannot be built, or a check fails.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<()> {
    if workspace.target != workspace.root.join("target") {
        bail!("the package names its files below `target`: unset CARGO_TARGET_DIR and run this again");
    }
    let ready = setup::run(workspace, if check { Needs::DIST_CHECK } else { Needs::DIST })?;
    CARGO_DEB.install(workspace)?;
    CARGO_CYCLONEDX.install(workspace)?;
    build::ebpf(workspace, &ready)?;
    build::program(workspace, false)?;
    let directory = workspace.target.join("dist");
    pages(workspace, &directory)?;
    licences::write(workspace, &directory)?;
    components(workspace, &directory)?;
    let deb = deb(workspace, &directory)?;
    let program = archive::program(workspace)?;
    let unpacked = archive::pack(workspace, &directory, &program)?;
    let artifacts = Artifacts { directory, deb, unpacked };
    if check { check::run(workspace, &artifacts) } else { Ok(()) }
}

/// Writes manual pages and completions.
fn pages(workspace: &Workspace, directory: &Path) -> Result<()> {
    let pages = directory.join("pages");
    // Pages of a verb that no longer exists must not be packed.
    let _ = fs::remove_dir_all(&pages);
    fs::create_dir_all(&pages).with_context(|| format!("cannot create {}", pages.display()))?;
    let mut cargo = workspace.cargo();
    exec(cargo.args(["run", "--quiet", "--package", "xstun", "--example", "pages", "--"]).arg(&pages))
}

/// Writes the list of components in CycloneDX's format.
fn components(workspace: &Workspace, directory: &Path) -> Result<()> {
    const NAME: &str = "xstun-components";
    let mut cargo = with_tools(workspace, workspace.cargo())?;
    cargo.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", NAME]);
    cargo.args(["--manifest-path", "userspace/Cargo.toml", "--quiet"]);
    set_time(workspace, &mut cargo);
    let result = exec(&mut cargo);
    // cargo-cyclonedx writes a list beside the manifest of every member.
    let metadata = workspace.metadata("Cargo.toml")?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = package["manifest_path"].as_str().map(Path::new).unwrap_or(&workspace.root);
        let written = manifest.with_file_name(format!("{NAME}.json"));
        if package["name"] == "xstun" && result.is_ok() {
            let copy = directory.join("xstun.cdx.json");
            fs::copy(&written, &copy)
                .with_context(|| format!("cannot copy {} to {}", written.display(), copy.display()))?;
        }
        let _ = fs::remove_file(&written);
    }
    result
}

/// Builds the Debian package and returns its path.
fn deb(workspace: &Workspace, directory: &Path) -> Result<PathBuf> {
    let mut cargo = with_tools(workspace, workspace.cargo())?;
    cargo
        .args(["deb", "--package", "xstun", "--no-build", "--strip", "--no-dbgsym", "--output"])
        .arg(directory);
    set_time(workspace, &mut cargo);
    let printed = output(&mut cargo)?;
    let deb = printed.lines().last().map(PathBuf::from).context("cargo-deb printed no path")?;
    println!("wrote {}", deb.display());
    Ok(deb)
}

/// Sets the time that files carry to that of the last commit, so that the same sources give the same
/// files.
fn set_time(workspace: &Workspace, command: &mut Command) {
    command.env("SOURCE_DATE_EPOCH", last_commit(workspace));
}

/// Returns the time of the last commit in seconds since 1970; 0 outside a repository.
fn last_commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    let time = ask(git.current_dir(&workspace.root).args(["log", "-1", "--format=%ct"]));
    time.map_or_else(|| "0".to_owned(), |time| time.trim().to_owned())
}
