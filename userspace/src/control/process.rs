//! The resources that the process uses, as the kernel reports them.

use crate::status::ProcessStatus;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Returns the present figures. Those that the kernel does not report (because `/proc` is not mounted, say)
/// are zero. `start_time` is when the process started, in seconds since 1970.
pub(super) fn figures(start_time: f64) -> ProcessStatus {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let page = rustix::param::page_size() as u64;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let (pages, resident) = memory(&statm);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ProcessStatus {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: resident * page,
        virtual_bytes: pages * page,
        // Listing the directory opens one itself.
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |open| open.count().saturating_sub(1) as u64),
        max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        threads: threads(&status),
        start_time,
    }
}

/// Returns all pages and resident pages from `/proc/self/statm` (proc(5)).
fn memory(statm: &str) -> (u64, u64) {
    let mut numbers = statm.split_whitespace().map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Returns the number of threads from `/proc/self/status`.
fn threads(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{figures, memory, now, threads};

    #[test]
    fn the_files_of_the_kernel_are_parsed() {
        assert_eq!(memory("27340 4711 1534 1 0 25000 0\n"), (27_340, 4711));
        assert_eq!(threads("Name:\txstun\nThreads:\t5\nSigQ:\t0/1\n"), 5);
        assert_eq!((memory(""), threads("")), ((0, 0), 0));
    }

    #[test]
    fn this_process_has_figures() {
        let figures = figures(now());
        assert!(figures.cpu_seconds > 0.0 && figures.resident_bytes > 1 << 20, "{figures:?}");
        assert!(figures.virtual_bytes >= figures.resident_bytes, "{figures:?}");
        assert!((1..=figures.max_fds).contains(&figures.open_fds) && figures.threads >= 1, "{figures:?}");
        assert!(figures.start_time > 1.7e9, "{figures:?}");
    }
}
