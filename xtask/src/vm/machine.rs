//! One guest under qemu, from its first line to its end.

use super::cases::Case;
use super::kernels::Kernel;
use super::wires::Wires;
use crate::children::Guarded;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) const QEMU: &str = "qemu-system-x86_64";
/// Memory of a guest in MiB: four times what its file system takes.
pub(super) const MEMORY: u32 = 1536;
/// How long a guest may take in all, and how long it may say nothing.
const LIMIT: Duration = Duration::from_secs(900);
const SILENCE: Duration = Duration::from_secs(180);
/// How long a guest that does nothing may take to boot where the CPU helps.
const PROBE_LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(100);
/// Lines of the console that an error shows.
const SHOWN: usize = 60;

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The CPU.
    Kvm,
    /// qemu, in software.
    Tcg,
}

impl Accelerator {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "software emulation",
        }
    }

    fn arguments(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // One thread for all of a guest's CPUs: with one each, a CPU may run an instruction that another
            // is just patching, and a kernel that switches a static key then dies of a stray int3.
            Accelerator::Tcg => ["-accel", "tcg,thread=single", "-cpu", "max"],
        }
    }

    /// KVM where it works. That /dev/kvm can be opened does not tell: inside some virtual machines it
    /// stops at the first instruction that it would have to emulate. So a guest is booted.
    pub(super) fn choose(kernel: &Kernel, image: &Path, home: &Path, interrupt: &Interrupt) -> Result<Self> {
        if File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Accelerator::Tcg);
        }
        let guest =
            Guest { kernel, image, home: home.join("probe"), cases: &[], accelerator: Accelerator::Kvm };
        let mut command = Command::new(QEMU);
        guest.arguments(&mut command, "xstun.probe");
        match guest.run(command, PROBE_LIMIT, PROBE_LIMIT, interrupt, |_| Ok(())) {
            Ok(()) if fs::read_to_string(guest.report())?.contains("probe") => Ok(Accelerator::Kvm),
            Ok(()) => Ok(Accelerator::Tcg),
            Err(error) => {
                interrupt.check()?;
                let why = error.to_string();
                println!(
                    "vm: /dev/kvm is there and boots no guest ({})",
                    why.lines().next().unwrap_or_default()
                );
                Ok(Accelerator::Tcg)
            }
        }
    }
}

/// A guest to be run.
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Kernel,
    /// Its initial RAM file system.
    pub(super) image: &'a Path,
    /// Directory for what it says.
    pub(super) home: PathBuf,
    pub(super) cases: &'a [(usize, Case)],
    pub(super) accelerator: Accelerator,
}

impl Guest<'_> {
    /// Boots it on its wires and waits until it switches itself off; `hear` gets each line of its
    /// report.
    ///
    /// # Errors
    /// It hung, panicked, or qemu could not run it; the end of the console is part of the error.
    pub(super) fn boot(
        &self,
        wires: &Wires,
        interrupt: &Interrupt,
        hear: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let mut command = wires.command(QEMU);
        self.arguments(&mut command, "");
        for (number, case) in self.cases {
            command.args(case.arguments(*number));
        }
        self.run(command, LIMIT, SILENCE, interrupt, hear)
    }

    fn arguments(&self, command: &mut Command, parameter: &str) {
        command.args(self.accelerator.arguments());
        command.args(["-machine", "q35", "-smp", "2", "-m", &MEMORY.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-serial").arg(format!("file:{}", self.console().display()));
        command.arg("-serial").arg(format!("file:{}", self.report().display()));
        command.arg("-kernel").arg(&self.kernel.image).arg("-initrd").arg(self.image);
        let line = "console=ttyS0 rdinit=/init panic=-1 oops=panic net.ifnames=0 loglevel=5";
        command.arg("-append").arg(format!("{line} {parameter}"));
    }

    fn console(&self) -> PathBuf {
        self.home.join("console.log")
    }

    fn report(&self) -> PathBuf {
        self.home.join("report.jsonl")
    }

    fn run(
        &self,
        mut command: Command,
        limit: Duration,
        silence: Duration,
        interrupt: &Interrupt,
        mut hear: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        fs::create_dir_all(&self.home).with_context(|| format!("cannot make {}", self.home.display()))?;
        let said = self.home.join("qemu.log");
        fs::write(self.console(), "")?;
        fs::write(self.report(), "")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        let mut child = Guarded(child);
        let start = Instant::now();
        let (mut heard, mut length, mut last) = (0, 0, start);
        let status = loop {
            let ended = child.0.try_wait()?;
            let report = fs::read(self.report())?;
            let whole = report.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in String::from_utf8_lossy(&report[heard..whole]).lines() {
                hear(line.trim())?;
            }
            heard = whole;
            let now = fs::metadata(self.console())?.len() as usize + whole;
            if now != length {
                (length, last) = (now, Instant::now());
            }
            if let Some(status) = ended {
                break status;
            }
            interrupt.check()?;
            let told = fs::read_to_string(&said)?;
            if let Some(line) = told.lines().find(|line| line.contains("KVM internal error")) {
                bail!("{line}");
            }
            if last.elapsed() > silence || start.elapsed() > limit {
                let what = if last.elapsed() > silence { "said nothing for" } else { "did not end within" };
                let seconds = if last.elapsed() > silence { silence } else { limit }.as_secs();
                bail!("the guest {what} {seconds} s; {}", self.ending());
            }
            std::thread::sleep(TICK);
        };
        let told = fs::read_to_string(&said)?;
        if !status.success() {
            let advice =
                if told.contains("cannot set up guest memory") || told.contains("Cannot allocate memory") {
                    format!(" (a guest takes {MEMORY} MiB of memory: free as much)")
                } else {
                    String::new()
                };
            bail!("`{}` ended with {status}{advice}: {}", shown(&command), told.trim());
        }
        let console = String::from_utf8_lossy(&fs::read(self.console())?).into_owned();
        match fault(&console) {
            None => Ok(()),
            Some(from) => bail!("the guest's kernel complained:\n{}", tail(from, SHOWN)),
        }
    }

    /// The end of what the console said.
    fn ending(&self) -> String {
        let console = fs::read(self.console()).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).into_owned();
        let lines: Vec<_> = console.lines().collect();
        let from = lines.len().saturating_sub(SHOWN);
        format!("the end of its console ({}):\n{}", self.console().display(), lines[from..].join("\n"))
    }
}

/// From where on the console tells of a fault of the kernel; nothing where it tells of none.
fn fault(console: &str) -> Option<&str> {
    const SIGNS: [&str; 5] =
        ["Kernel panic", "Oops", "BUG: ", "WARNING: ", "rcu: INFO: rcu_sched self-detected"];
    // A device whose offloads are fixed makes the kernel warn whenever generic XDP is asked for on it: it
    // cannot switch off what it would like to, says so in the line before, and goes on.
    const HARMLESS: &str = "failed to disable GRO_HW!";
    let (mut at, mut before) = (0, "");
    for line in console.split_inclusive('\n') {
        let harmless = line.contains("WARNING: ") && before.contains(HARMLESS);
        if SIGNS.iter().any(|sign| line.contains(sign)) && !harmless {
            return Some(&console[at..]);
        }
        at += line.len();
        before = line;
    }
    None
}

fn tail(text: &str, lines: usize) -> String {
    text.lines().take(lines).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_panic_is_shown_from_its_first_line_on() {
        let console = "[ 1.0] all is well\n[ 2.0] BUG: kernel NULL pointer dereference\n[ 2.1] Call Trace:\n";
        assert_eq!(fault(console), Some("[ 2.0] BUG: kernel NULL pointer dereference\n[ 2.1] Call Trace:\n"));
        assert_eq!(fault("[ 1.0] all is well\n"), None);
        assert_eq!(fault(""), None);
        let fixed = "netdevice: xs3: failed to disable GRO_HW!\nWARNING: CPU: 1 at net/core/dev.c:1849\n";
        assert_eq!(fault(fixed), None);
        let other = "netdevice: xs3: went away\nWARNING: CPU: 1 at net/core/dev.c:1849\n";
        assert_eq!(fault(other), Some("WARNING: CPU: 1 at net/core/dev.c:1849\n"));
    }
}
