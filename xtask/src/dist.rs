//! `cargo xtask dist`: what people install. A Debian package, an archive with a static binary, the root
//! of a container image; with manual pages, completions, licences and a list of components.

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
use std::path::PathBuf;
use std::process::Command;

/// The version that all members of the workspace have.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", why: "it makes the Debian package" };
const CARGO_CYCLONEDX: Tool =
    Tool { name: "cargo-cyclonedx", version: "0.5.9", why: "it lists the components (SBOM)" };

/// What was made, and where.
struct Made {
    /// `target/dist`.
    directory: PathBuf,
    /// The Debian package.
    deb: PathBuf,
    /// What the archive holds, unpacked.
    unpacked: PathBuf,
}

/// Makes everything, and with `check` installs, runs and removes it in a Debian system of its own.
///
/// # Errors
/// Something could not be made, or does not do what it should.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<()> {
    if workspace.target != workspace.root.join("target") {
        bail!("the package names its files below `target`: run this without CARGO_TARGET_DIR");
    }
    let ready = setup::run(workspace, if check { Needs::DIST_CHECK } else { Needs::DIST })?;
    CARGO_DEB.get(workspace)?;
    CARGO_CYCLONEDX.get(workspace)?;
    build::ebpf(workspace, &ready)?;
    build::program(workspace, false)?;
    let directory = workspace.target.join("dist");
    pages(workspace, &directory)?;
    licences::write(workspace, &directory)?;
    components(workspace, &directory)?;
    let deb = deb(workspace, &directory)?;
    let program = archive::program(workspace)?;
    let unpacked = archive::pack(workspace, &directory, &program)?;
    let made = Made { directory, deb, unpacked };
    if check { check::run(workspace, &made) } else { Ok(()) }
}

/// Manual pages and completions.
fn pages(workspace: &Workspace, directory: &std::path::Path) -> Result<()> {
    let pages = directory.join("pages");
    // What a verb left that is no more must not be packed.
    let _ = fs::remove_dir_all(&pages);
    fs::create_dir_all(&pages).with_context(|| format!("cannot make {}", pages.display()))?;
    let mut cargo = workspace.cargo();
    exec(cargo.args(["run", "--quiet", "--package", "xstun", "--example", "pages", "--"]).arg(&pages))
}

/// The list of components, in the form of CycloneDX.
fn components(workspace: &Workspace, directory: &std::path::Path) -> Result<()> {
    const NAME: &str = "xstun-components";
    let mut cargo = with_tools(workspace, workspace.cargo())?;
    cargo.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", NAME]);
    cargo.args(["--manifest-path", "userspace/Cargo.toml", "--quiet"]);
    dated(workspace, &mut cargo);
    let result = exec(&mut cargo);
    // It writes one beside the manifest of every member.
    for member in ["userspace", "xdp-ebpf", "xtask", "bench"] {
        let written = workspace.root.join(member).join(format!("{NAME}.json"));
        if member == "userspace" && result.is_ok() {
            let place = directory.join("xstun.cdx.json");
            fs::copy(&written, &place)
                .with_context(|| format!("cannot copy {} to {}", written.display(), place.display()))?;
        }
        let _ = fs::remove_file(&written);
    }
    result
}

fn deb(workspace: &Workspace, directory: &std::path::Path) -> Result<PathBuf> {
    let mut cargo = with_tools(workspace, workspace.cargo())?;
    cargo
        .args(["deb", "--package", "xstun", "--no-build", "--strip", "--no-dbgsym", "--output"])
        .arg(directory);
    dated(workspace, &mut cargo);
    let printed = output(&mut cargo)?;
    let deb = printed.lines().last().map(PathBuf::from).context("cargo-deb did not say what it made")?;
    println!("made {}", deb.display());
    Ok(deb)
}

/// Lets what is made carry the time of the last commit, so that the same sources make the same files.
fn dated(workspace: &Workspace, command: &mut Command) {
    command.env("SOURCE_DATE_EPOCH", last_commit(workspace));
}

/// Seconds since 1970; zero outside a repository.
fn last_commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    let told = ask(git.current_dir(&workspace.root).args(["log", "-1", "--format=%ct"]));
    told.map_or_else(|| "0".to_owned(), |time| time.trim().to_owned())
}
