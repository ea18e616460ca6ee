//! Checks for memory and disk space before anything is fetched.

use super::machine::MEMORY;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// MiB of disk space that a qemu takes which is fetched.
const EMULATOR: u64 = 100;
/// MiB of disk space that a kernel takes while it is unpacked.
const UNPACKING: u64 = 700;
/// MiB of disk space that a kernel and its guest's file system take afterwards.
const STAYING: u64 = 150;

/// Fails if the guests or the kernels do not fit.
///
/// # Errors
/// Too little memory for `at_once` guests, or too little disk below `target` for `kernels`.
pub(super) fn check(target: &Path, at_once: usize, kernels: usize) -> Result<()> {
    let meminfo = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let available = available_memory(&meminfo).context("/proc/meminfo has no MemAvailable")?;
    let disk = rustix::fs::statvfs(target)
        .with_context(|| format!("cannot read the free space of {}", target.display()))?;
    let free = disk.f_bavail * disk.f_frsize / MIB;
    judge(available, free, at_once as u64, kernels as u64, target)
}

/// Compares what is available with what is wanted. Sizes are in MiB.
fn judge(memory: u64, disk: u64, at_once: u64, kernels: u64, target: &Path) -> Result<()> {
    let wanted = at_once * u64::from(MEMORY);
    if memory < wanted {
        bail!(
            "{at_once} guests at a time need {wanted} MiB of memory, and {memory} are available: stop other programs"
        );
    }
    let wanted = EMULATOR + UNPACKING + kernels * STAYING;
    if disk < wanted {
        bail!(
            "{kernels} kernels need {wanted} MiB below {}, and {disk} are free: free some, or set CARGO_TARGET_DIR \
             to a directory on a larger disk",
            target.display()
        );
    }
    Ok(())
}

/// MiB of memory available to new programs.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::{available_memory, judge};
    use std::path::Path;

    #[test]
    fn too_little_memory_or_disk_is_reported_with_what_to_do() {
        let judge = |memory, disk| {
            judge(memory, disk, 2, 4, Path::new("target"))
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert_eq!(judge(3072, 1400), "");
        assert!(judge(3071, 1400).contains("2 guests at a time need 3072 MiB of memory, and 3071"));
        assert!(judge(3072, 1399).contains("4 kernels need 1400 MiB below target, and 1399 are free"));
    }

    #[test]
    fn available_memory_is_read_from_meminfo() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:   2097152 kB\n"), Some(2048));
        assert_eq!(available_memory("MemTotal: 9 kB\n"), None);
    }
}
