//! One guest under qemu, from boot to exit.

use super::cases::VmCase;
use super::emulator::Emulator;
use super::kernels::Kernel;
use super::links::GuestLinks;
use crate::children::ChildGuard;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Memory of a guest in MiB: four times the size of its file system.
pub(super) const MEMORY: u32 = 1536;
/// Limits of a guest that tests.
const LIMITS: Limits = Limits { total: Duration::from_secs(1800), silence: Duration::from_secs(300) };
/// Limits of a guest that only boots, with KVM.
const PROBE_LIMITS: Limits = Limits { total: Duration::from_secs(20), silence: Duration::from_secs(20) };
const TICK: Duration = Duration::from_millis(100);
/// Lines of the console that an error shows.
const SHOWN: usize = 60;

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Until it exits.
    total: Duration,
    /// Without a byte on its console or in its report.
    silence: Duration,
}

/// What executes a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The CPU, by KVM.
    Kvm,
    /// qemu's software emulation.
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
            // One thread for all of a guest's CPUs. With one thread each, a CPU may execute an instruction
            // while another patches it, and a kernel that switches a static key dies of a stray int3.
            Accelerator::Tcg => ["-accel", "tcg,thread=single", "-cpu", "max"],
        }
    }

    /// Chooses KVM if a guest boots with it. That /dev/kvm opens is not enough: inside some virtual
    /// machines KVM stops at the first instruction that it has to emulate.
    ///
    /// # Errors
    /// The verb was interrupted, or the guest's report cannot be read.
    pub(super) fn choose(
        emulator: &Emulator,
        kernel: &Kernel,
        image: &Path,
        home: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        if File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Accelerator::Tcg);
        }
        let accelerator = Accelerator::Kvm;
        let guest = Guest { emulator, kernel, image, home: home.join("probe"), cases: &[], accelerator };
        let mut command = emulator.command(Command::new);
        guest.arguments(&mut command, "xstun.probe");
        match guest.run(command, PROBE_LIMITS, interrupt, |_| Ok(())) {
            Ok(()) if fs::read_to_string(guest.report())?.contains("probe") => Ok(Accelerator::Kvm),
            Ok(()) => Ok(Accelerator::Tcg),
            Err(error) => {
                interrupt.check()?;
                // Where qemu itself fails, its last line says why.
                let log = fs::read_to_string(guest.log()).unwrap_or_default();
                let why = error.to_string();
                let why = log.lines().last().or(why.lines().next()).unwrap_or_default();
                println!("vm: no guest boots with /dev/kvm ({why})");
                Ok(Accelerator::Tcg)
            }
        }
    }
}

/// A guest to boot.
pub(super) struct Guest<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) kernel: &'a Kernel,
    /// Its initial RAM file system.
    pub(super) image: &'a Path,
    /// Directory of its console, its report and qemu's log.
    pub(super) home: PathBuf,
    pub(super) cases: &'a [(usize, VmCase)],
    pub(super) accelerator: Accelerator,
}

impl Guest<'_> {
    /// Boots it on its links and waits until it powers off; `take` gets each line of its report.
    ///
    /// # Errors
    /// It hung, its kernel reported a fault, or qemu failed; the error shows the end of the console.
    pub(super) fn boot(
        &self,
        links: &GuestLinks,
        interrupt: &Interrupt,
        take: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let mut command = self.emulator.command(|program| links.command(program));
        self.arguments(&mut command, "");
        for (number, case) in self.cases {
            command.args(case.arguments(*number));
        }
        self.run(command, LIMITS, interrupt, take)
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

    fn log(&self) -> PathBuf {
        self.home.join("qemu.log")
    }

    /// Runs qemu until it exits; `take` gets each line of the report.
    fn run(
        &self,
        mut command: Command,
        limits: Limits,
        interrupt: &Interrupt,
        take: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        fs::create_dir_all(&self.home).with_context(|| format!("cannot make {}", self.home.display()))?;
        fs::write(self.console(), "")?;
        fs::write(self.report(), "")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(self.log())?);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        let status = self.follow(ChildGuard(child), limits, interrupt, take)?;
        if !status.success() {
            let log = fs::read_to_string(self.log())?;
            let no_memory = ["cannot set up guest memory", "Cannot allocate memory"];
            let advice = if no_memory.iter().any(|sign| log.contains(sign)) {
                format!(" (free {MEMORY} MiB of memory for each guest)")
            } else {
                String::new()
            };
            bail!("`{}` exited with {status}{advice}: {}", shown(&command), log.trim());
        }
        let console = String::from_utf8_lossy(&fs::read(self.console())?).into_owned();
        match fault(&console) {
            None => Ok(()),
            Some(from) => bail!("the guest's kernel reported a fault:\n{}", head(from, SHOWN)),
        }
    }

    /// Waits until qemu exits, and passes on each whole line of the report meanwhile.
    fn follow(
        &self,
        mut child: ChildGuard,
        limits: Limits,
        interrupt: &Interrupt,
        mut take: impl FnMut(&str) -> Result<()>,
    ) -> Result<ExitStatus> {
        let start = Instant::now();
        let (mut taken, mut length, mut last) = (0, 0, start);
        loop {
            // Before the report is read: after the exit it is read once more.
            let exited = child.0.try_wait()?;
            let report = fs::read(self.report())?;
            let whole = report.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in String::from_utf8_lossy(&report[taken..whole]).lines() {
                take(line.trim())?;
            }
            taken = whole;
            let now = fs::metadata(self.console())?.len() as usize + whole;
            if now != length {
                (length, last) = (now, Instant::now());
            }
            if let Some(status) = exited {
                return Ok(status);
            }
            interrupt.check()?;
            let log = fs::read_to_string(self.log())?;
            if let Some(line) = log.lines().find(|line| line.contains("KVM internal error")) {
                bail!("{line}");
            }
            if last.elapsed() > limits.silence {
                bail!("the guest printed nothing for {} s; {}", limits.silence.as_secs(), self.last_lines());
            }
            if start.elapsed() > limits.total {
                bail!("the guest did not end within {} s; {}", limits.total.as_secs(), self.last_lines());
            }
            std::thread::sleep(TICK);
        }
    }

    /// The last lines of the console.
    fn last_lines(&self) -> String {
        let console = fs::read(self.console()).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).into_owned();
        let lines: Vec<_> = console.lines().collect();
        let from = lines.len().saturating_sub(SHOWN);
        format!("the end of its console ({}):\n{}", self.console().display(), lines[from..].join("\n"))
    }
}

/// The console from the first line on that reports a fault of the kernel.
fn fault(console: &str) -> Option<&str> {
    const SIGNS: [&str; 5] =
        ["Kernel panic", "Oops", "BUG: ", "WARNING: ", "rcu: INFO: rcu_sched self-detected"];
    // A device with fixed offloads makes the kernel warn whenever generic XDP is attached to it: the
    // kernel cannot switch GRO_HW off, logs that in the line before, and continues.
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

/// The first lines of a text.
fn head(text: &str, lines: usize) -> String {
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
