//! The server that is measured.

use super::contenders::{Contender, Programs};
use super::generator::Generator;
use super::network::{BenchNetwork, Cores};
use crate::children::ChildGuard;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Longest wait for it to be ready.
const LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(100);
/// The load that shows that it answers. An ordinary client would not do where the kernel answers: what
/// XDP_TX sends reaches the other end of a veth pair only if that end has an XDP program, as the
/// generator's has.
const FIRST_LOAD: (f64, Duration) = (1000.0, Duration::from_millis(100));

/// A running server. Drop kills it.
pub(super) struct MeasuredServer<'a> {
    child: ChildGuard,
    network: &'a BenchNetwork,
    cores: Cores,
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Nanoseconds of the server's threads.
    pub(super) process: u64,
    /// Nanoseconds of the server's threads, and of the NAPI threads of its interface.
    pub(super) with_napi: u64,
    /// Nanoseconds that the server's cores were not idle, soft interrupts included.
    pub(super) cores: u64,
}

impl<'a> MeasuredServer<'a> {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, exits, or does not answer within 20 s; the error shows its log.
    pub(super) fn start(
        contender: &Contender,
        network: &'a BenchNetwork,
        programs: &Programs,
        cores: &Cores,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut command = contender.command(network, programs, cores);
        let log = programs.log(contender.id);
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        let mut server = MeasuredServer { child: ChildGuard(child), network, cores: cores.clone() };
        let text = || fs::read_to_string(&log).unwrap_or_default();
        let generator = Generator::new(programs, network, cores, contender);
        let (rate, duration) = FIRST_LOAD;
        let ready = || generator.run(rate, duration, interrupt).is_ok_and(|sample| sample.replies > 0.0);
        let deadline = Instant::now() + LIMIT;
        while !ready() {
            interrupt.check()?;
            if let Some(status) = server.child.0.try_wait()? {
                bail!("`{}` exited with {status}: {}", shown(&command), text().trim());
            }
            if Instant::now() > deadline {
                bail!("`{}` was not ready within {} s: {}", shown(&command), LIMIT.as_secs(), text().trim());
            }
            std::thread::sleep(TICK);
        }
        network.pin_threads()?;
        Ok(server)
    }

    /// Processor time so far.
    pub(super) fn used(&self) -> Result<Used> {
        let process = process_time(self.child.0.id())?;
        let mut with_napi = process;
        for pid in self.network.napi_threads() {
            with_napi += process_time(pid)?;
        }
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Ok(Used { process, with_napi, cores: busy(&stat, &self.cores.server) })
    }

    /// Bytes of its memory that are resident, including rings and packets.
    pub(super) fn memory(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.child.0.id());
        let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        resident(&status).with_context(|| format!("{file} has no VmRSS"))
    }

    /// Fails if it has exited.
    ///
    /// # Errors
    /// It has exited.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.0.try_wait()? {
            Some(status) => bail!("the server exited under load with {status}"),
            None => Ok(()),
        }
    }
}

/// Nanoseconds that all threads of a process have run, as the scheduler counts them: /proc/PID/stat counts
/// in hundredths of a second.
fn process_time(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))?.flatten() {
        // A thread may exit between the two readings.
        let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        sum += schedstat.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Nanoseconds that these cores were busy, in steps of a hundredth of a second.
fn busy(stat: &str, cores: &[usize]) -> u64 {
    const IDLE: usize = 3;
    const WAITING: usize = 4;
    const GUEST: usize = 8;
    const TICK: u64 = 10_000_000;
    let core = |core: &usize| {
        let name = format!("cpu{core}");
        let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
        let numbers = line.split_whitespace().skip(1).filter_map(|word| word.parse::<u64>().ok());
        // User time already includes guest time.
        Some(
            numbers
                .enumerate()
                .filter(|(place, _)| ![IDLE, WAITING].contains(place) && *place < GUEST)
                .map(|(_, ticks)| ticks)
                .sum::<u64>(),
        )
    };
    cores.iter().filter_map(core).sum::<u64>() * TICK
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::{busy, process_time, resident};

    #[test]
    fn a_core_is_busy_while_it_neither_idles_nor_waits() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 100 50 4 5 6 7 8\ncpu1 1 0 0 7 0 0 0 0 0 0\ncpu10 9 0 0 0\n";
        assert_eq!(busy(stat, &[0]), 21 * 10_000_000);
        assert_eq!(busy(stat, &[0, 1]), 22 * 10_000_000);
        assert_eq!(busy(stat, &[7]), 0);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n"), Some(12_641_280));
        assert_eq!(resident("Name:\tkthread\n"), None);
    }

    #[test]
    fn this_process_has_run() {
        assert!(process_time(std::process::id()).unwrap() > 0);
        process_time(u32::MAX).unwrap_err();
    }
}
