//! Whether there is room for the guests, asked before anything is fetched.

use super::machine::MEMORY;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// MiB on the disk that a kernel takes while it is unpacked, and those that stay of it with its image.
const UNPACKING: u64 = 700;
const STAYING: u64 = 150;

/// # Errors
/// Too little memory for `at_once` guests, or too little disk below `target` for `kernels`.
pub(super) fn check(target: &Path, at_once: usize, kernels: usize) -> Result<()> {
    let told = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let available = available_memory(&told).context("/proc/meminfo does not tell MemAvailable")?;
    let disk = rustix::fs::statvfs(target).with_context(|| format!("cannot look at {}", target.display()))?;
    let free = disk.f_bavail * disk.f_frsize / MIB;
    judge(available, free, at_once as u64, kernels as u64, target)
}

/// In MiB.
fn judge(memory: u64, disk: u64, at_once: u64, kernels: u64, target: &Path) -> Result<()> {
    let wanted = at_once * u64::from(MEMORY);
    if memory < wanted {
        bail!(
            "{at_once} guests at a time take {wanted} MiB of memory, and {memory} are available: end other programs"
        );
    }
    let wanted = UNPACKING + kernels * STAYING;
    if disk < wanted {
        bail!(
            "{kernels} kernels take {wanted} MiB below {}, and {disk} are free: make room, or set CARGO_TARGET_DIR \
             to where there is some",
            target.display()
        );
    }
    Ok(())
}

/// MiB of memory that new programs can have.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::{available_memory, judge};
    use std::path::Path;

    #[test]
    fn too_little_memory_or_disk_is_told_with_what_to_do() {
        let judge = |memory, disk| {
            judge(memory, disk, 2, 4, Path::new("target"))
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert_eq!(judge(3072, 1300), "");
        assert!(judge(3071, 1300).contains("2 guests at a time take 3072 MiB of memory, and 3071"));
        assert!(judge(3072, 1299).contains("4 kernels take 1300 MiB below target, and 1299 are free"));
    }

    #[test]
    fn available_memory_is_read_from_meminfo() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:   2097152 kB\n"), Some(2048));
        assert_eq!(available_memory("MemTotal: 9 kB\n"), None);
    }
}
