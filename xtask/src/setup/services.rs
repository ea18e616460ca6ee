//! The servers that come with packages of clients, which must not start.

use crate::run::{exec, output};
use anyhow::{Context as _, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Keeps servers from starting while their packages are installed, until it is dropped. Under systemd it
/// masks their units, and drop unmasks and disables them. Elsewhere it writes a policy-rc.d that forbids
/// every start, and drop removes it; one that exists already is the operator's and stays.
pub(super) struct KeptFromStarting {
    units: Vec<String>,
    policy: bool,
}

impl KeptFromStarting {
    /// Packages that start a server at once and at every boot.
    const PACKAGES: [&'static str; 2] = ["coturn", "prometheus"];
    const POLICY: &'static str = "/usr/sbin/policy-rc.d";

    /// For those of the packages that start a server; `None` if there are none.
    ///
    /// # Errors
    /// systemctl fails, or policy-rc.d cannot be written.
    pub(super) fn among(packages: &[&str]) -> Result<Option<Self>> {
        let starting: Vec<_> = Self::PACKAGES.into_iter().filter(|name| packages.contains(name)).collect();
        if starting.is_empty() {
            return Ok(None);
        }
        let mut kept = KeptFromStarting { units: Vec::new(), policy: false };
        if Path::new("/run/systemd/system").exists() {
            for package in starting {
                let unit = format!("{package}.service");
                exec(Command::new("systemctl").args(["--quiet", "mask", &unit]))?;
                kept.units.push(unit);
            }
        } else if !Path::new(Self::POLICY).exists() {
            let cannot = || format!("cannot write {}", Self::POLICY);
            std::fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").with_context(cannot)?;
            kept.policy = true;
            std::fs::set_permissions(Self::POLICY, Permissions::from_mode(0o755)).with_context(cannot)?;
        }
        Ok(Some(kept))
    }
}

impl Drop for KeptFromStarting {
    fn drop(&mut self) {
        for unit in &self.units {
            for verb in ["unmask", "disable"] {
                if let Err(error) = output(Command::new("systemctl").args(["--quiet", verb, unit])) {
                    eprintln!("setup: {error:#}");
                }
            }
        }
        if self.policy
            && let Err(error) = std::fs::remove_file(Self::POLICY)
        {
            eprintln!("setup: cannot remove {}: {error}", Self::POLICY);
        }
    }
}
