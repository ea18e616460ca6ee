//! Debian's archive, read with package lists of this project's own: those of the machine are neither
//! read nor changed, and packages of several releases are available at the same time.

use crate::run::{command_exists, exec, output};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Debian's keys; package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites of the archive that have kernels, and a newer qemu.
const SUITES: &str = "bookworm bookworm-backports trixie trixie-backports";
/// Suites of the security archive that have kernels.
const SECURITY_SUITES: &str = "bookworm-security trixie-security";
/// Age at which lists are fetched again: the archive drops files that newer lists no longer name.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// apt with lists and a cache of its own below one directory.
pub(super) struct Apt {
    home: PathBuf,
}

impl Apt {
    /// Opens the lists in `home`, and fetches them if they are missing or old.
    ///
    /// # Errors
    /// There is no apt, or there are no lists and they cannot be fetched.
    pub(super) fn open(home: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if !command_exists(program) {
                bail!(
                    "there is no {program}, and the kernels are Debian packages: run this on Debian or Ubuntu"
                );
            }
        }
        let apt = Apt { home: home.to_owned() };
        for directory in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(home.join(directory))
                .with_context(|| format!("cannot make {}", home.join(directory).display()))?;
        }
        fs::write(home.join("status"), "")?;
        fs::write(home.join("debian.sources"), sources())?;
        if !apt.is_fresh() {
            println!("vm: fetching Debian's package lists into {}", home.display());
            let fetched = exec(apt.command("apt-get").args(["--quiet=2", "update"]));
            match fetched {
                Ok(()) => fs::write(home.join("fetched"), "")?,
                Err(error) if home.join("fetched").exists() => {
                    eprintln!("vm: {error:#}; continuing with the earlier lists");
                }
                Err(error) => return Err(error.context("cannot fetch Debian's package lists")),
            }
        }
        Ok(apt)
    }

    fn is_fresh(&self) -> bool {
        let fetched = fs::metadata(self.home.join("fetched")).and_then(|metadata| metadata.modified());
        fetched.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < FRESH))
    }

    /// Names of all packages that begin with `prefix`.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Names of the packages that this one depends on.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let printed = output(self.command("apt-cache").args(["depends", "--important", package]))?;
        Ok(printed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    /// Downloads the packages and unpacks their files below `root`, which exists; nothing is installed. A name
    /// may have the suite after a slash, and is of the newest version otherwise.
    ///
    /// # Errors
    /// A package cannot be downloaded, or the disk is full.
    pub(super) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let downloads = root.join("downloads");
        fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
        let mut apt = self.command("apt-get");
        // apt's sandbox user may not write below the target directory.
        apt.args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"]).args(packages);
        exec(apt.current_dir(&downloads))?;
        for entry in fs::read_dir(&downloads)? {
            exec(Command::new("dpkg-deb").arg("--extract").arg(entry?.path()).arg(root))?;
        }
        fs::remove_dir_all(&downloads).with_context(|| format!("cannot remove {}", downloads.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str| self.home.join(name).display().to_string();
        for (key, value) in [
            ("Dir::Etc::sourcelist", at("debian.sources")),
            ("Dir::Etc::sourceparts", "-".to_owned()),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("")),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
        ] {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command.env("LC_ALL", "C");
        command
    }
}

fn sources() -> String {
    let source = |path: &str, suites: &str| {
        format!(
            "Types: deb\nURIs: http://deb.debian.org/{path}\nSuites: {suites}\nComponents: main\n\
             Architectures: amd64\nSigned-By: {KEYRING}\n"
        )
    };
    format!("{}\n{}", source("debian", SUITES), source("debian-security", SECURITY_SUITES))
}
