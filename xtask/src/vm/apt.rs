//! Debian's archive, asked with lists of this project's own: what the machine installs from is
//! neither read nor changed, and kernels of several releases stand side by side.

use crate::run::{command_exists, exec, output};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What Debian signs its lists with; package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites of the archive that carry kernels, and those of its security team.
const SUITES: &str = "bookworm bookworm-backports trixie trixie-backports";
const SECURITY_SUITES: &str = "bookworm-security trixie-security";
/// Lists that are older are fetched anew: the archive drops files that newer lists no longer name.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// apt with a directory of its own.
pub(super) struct Apt {
    home: PathBuf,
}

impl Apt {
    /// Opens the lists in `home`, and fetches them where they are missing or old.
    ///
    /// # Errors
    /// No apt, or no lists and no way to fetch them.
    pub(super) fn open(home: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if !command_exists(program) {
                bail!(
                    "the kernels are packages of Debian, and there is no {program}: run this on Debian or Ubuntu"
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
            println!("vm: fetching the lists of Debian's kernels into {}", home.display());
            let fetched = exec(apt.command("apt-get").args(["--quiet=2", "update"]));
            match fetched {
                Ok(()) => fs::write(home.join("fetched"), "")?,
                Err(error) if home.join("fetched").exists() => {
                    eprintln!("vm: {error:#}; going on with the lists of before");
                }
                Err(error) => return Err(error.context("no lists of Debian's kernels could be had")),
            }
        }
        Ok(apt)
    }

    fn is_fresh(&self) -> bool {
        let fetched = fs::metadata(self.home.join("fetched")).and_then(|metadata| metadata.modified());
        fetched.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < FRESH))
    }

    /// Names of all packages that begin so.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Names of the packages that this one needs.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let told = output(self.command("apt-cache").args(["depends", "--important", package]))?;
        Ok(told.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// Fetches the packages' files into a directory.
    pub(super) fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        let mut apt = self.command("apt-get");
        // The user that apt fetches as may not write below the target directory.
        apt.args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"]).args(packages);
        exec(apt.current_dir(into))
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
