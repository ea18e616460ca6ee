//! How the kernel polls an interface's queues: the settings that busy polling changes.

use super::route::Interface;
use super::sysfs;
use crate::error::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// NAPI settings of an interface, for all of its queues. Read them before a change, and
/// [write](NapiSettings::write) them to restore them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NapiSettings {
    /// Empty polls before the kernel enables the interrupt again.
    pub defer_hard_irqs: u32,
    /// Nanoseconds until the kernel polls by itself while interrupts are deferred.
    pub gro_flush_timeout: u64,
    /// Whether kernel threads poll, instead of soft interrupts (0, 1; 2 since Linux 6.17: busy polling).
    /// `None` before Linux 5.12.
    pub threaded: Option<u32>,
}

const DEFER_HARD_IRQS: &str = "napi_defer_hard_irqs";
const GRO_FLUSH_TIMEOUT: &str = "gro_flush_timeout";
const THREADED: &str = "threaded";

impl NapiSettings {
    /// Reads the current settings.
    ///
    /// # Errors
    /// Sysfs does not have the interface, or not these settings; the message names the file.
    pub fn read(interface: &Interface) -> Result<Self> {
        let directory = directory(interface)?;
        Ok(NapiSettings {
            defer_hard_irqs: read(&directory.join(DEFER_HARD_IRQS))?,
            gro_flush_timeout: read(&directory.join(GRO_FLUSH_TIMEOUT))?,
            threaded: directory
                .join(THREADED)
                .exists()
                .then(|| read(&directory.join(THREADED)))
                .transpose()?,
        })
    }

    /// Returns the settings for preferred busy polling, as the kernel's networking/napi.rst recommends:
    /// interrupts stay off while the worker polls at least every 200 µs.
    pub fn for_busy_polling(self) -> Self {
        NapiSettings { defer_hard_irqs: 2, gro_flush_timeout: 200_000, ..self }
    }

    /// Writes the settings to the interface. Files that have the value already are not written, so that
    /// restoring needs nothing that the interface does not support.
    ///
    /// # Errors
    /// A file cannot be read or written; the message names it. The files before it are written.
    pub fn write(&self, interface: &Interface) -> Result<()> {
        let now = Self::read(interface)?;
        let directory = directory(interface)?;
        // The timer replaces the interrupts: enable it before these are deferred, and disable it after.
        let timeout = || change(&directory, GRO_FLUSH_TIMEOUT, now.gro_flush_timeout, self.gro_flush_timeout);
        let defer = || change(&directory, DEFER_HARD_IRQS, now.defer_hard_irqs, self.defer_hard_irqs);
        if self.defer_hard_irqs > now.defer_hard_irqs {
            timeout()?;
            defer()?;
        } else {
            defer()?;
            timeout()?;
        }
        match (now.threaded, self.threaded) {
            (Some(now), Some(wanted)) => change(&directory, THREADED, now, wanted),
            _ => Ok(()),
        }
    }
}

fn directory(interface: &Interface) -> Result<PathBuf> {
    sysfs::directory(interface).ok_or_else(|| {
        Failure::system(format!(
            "/sys/class/net/{} does not show the interface {} of this network namespace",
            interface.name, interface.index
        ))
        .remedy("run under `ip netns exec`, which mounts the right /sys")
    })
}

fn read<T: std::str::FromStr>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::system(format!("cannot read {}", file.display())).because(error))?;
    text.trim().parse().map_err(|_| {
        Failure::system(format!("{} contains '{}', which is not a number", file.display(), text.trim()))
    })
}

fn change<T: PartialEq + ToString>(directory: &Path, name: &str, now: T, wanted: T) -> Result<()> {
    if now == wanted {
        return Ok(());
    }
    let file = directory.join(name);
    fs::write(&file, wanted.to_string()).map_err(|error| {
        Failure::system(format!("cannot write {} to {}", wanted.to_string(), file.display()))
            .because(error)
            .remedy("run as root with CAP_NET_ADMIN and a writable /sys, or leave --busy-poll out")
    })
}
