//! qemu: the system's own, or a newer one of Debian's backports if the system's lacks a NIC of the cases.

use super::apt::Apt;
use super::cases::VmCase;
use crate::run::ask;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, in the system and in its package.
const PROGRAM: &str = "qemu-system-x86_64";
/// What is fetched: the program, its modules, and its firmware.
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data"];
/// The suite that they come from: built for Debian 12, whose own qemu (7.2) has no igb.
const SUITE: &str = "bookworm-backports";

/// The qemu that boots the guests.
#[derive(Clone, Debug)]
pub(super) enum Emulator {
    /// The one that the system has installed.
    System,
    /// One that was unpacked below this directory. It uses the libraries of the system, and of its firmware what
    /// comes with other packages: the BIOS and the option ROMs of the NICs.
    Unpacked(PathBuf),
}

impl Emulator {
    /// Chooses the system's qemu if it has the NICs of all `cases`, otherwise one in target/vm, which is fetched if
    /// it is not there.
    ///
    /// # Errors
    /// The newer qemu cannot be fetched, or it does not run on this system.
    pub(super) fn choose(workspace: &Workspace, apt: &Apt, cases: &[(usize, VmCase)]) -> Result<Self> {
        let lacks = |emulator: &Emulator| {
            let mut models = cases.iter().filter_map(|(_, case)| case.model());
            models.find(|model| !emulator.has(model))
        };
        let Some(lacking) = lacks(&Emulator::System) else { return Ok(Emulator::System) };
        let home = workspace.target.join("vm/qemu");
        let unpacked = Emulator::Unpacked(home.clone());
        if !unpacked.has(lacking) {
            println!("vm: the system's qemu has no {lacking}: fetching that of Debian's {SUITE}");
            fetch(apt, &home).with_context(|| advice(lacking))?;
        }
        match lacks(&unpacked) {
            None => Ok(unpacked),
            Some(model) => bail!("the qemu of {SUITE} does not run on this system; {}", advice(model)),
        }
    }

    /// Whether it runs and emulates this NIC.
    fn has(&self, model: &str) -> bool {
        // Not `-device help`, which loads every module: those of another version end it.
        let options = ask(self.command(Command::new).args(["-device", &format!("{model},help")]));
        options.is_some_and(|options| options.starts_with(&format!("{model} options")))
    }

    /// A command that runs it, made by `command` from the program's path.
    pub(super) fn command(&self, command: impl FnOnce(PathBuf) -> Command) -> Command {
        match self {
            Emulator::System => command(PROGRAM.into()),
            Emulator::Unpacked(home) => {
                let mut command = command(home.join("usr/bin").join(PROGRAM));
                command.env("QEMU_MODULE_DIR", home.join("usr/lib/x86_64-linux-gnu/qemu"));
                command.arg("-L").arg(home.join("usr/share/qemu"));
                command
            }
        }
    }
}

fn advice(model: &str) -> String {
    format!("install a qemu with {model} (8.0 or later), or leave that NIC out with --only")
}

/// Fetches the packages and unpacks them below `home`, which is replaced.
fn fetch(apt: &Apt, home: &Path) -> Result<()> {
    let partial = home.with_extension("partial");
    for old in [home, &partial] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    apt.unpack(&PACKAGES.map(|name| format!("{name}/{SUITE}")), &partial)?;
    fs::rename(&partial, home).with_context(|| format!("cannot make {}", home.display()))
}
