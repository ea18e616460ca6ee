//! The machine and this process.

use super::check::Check;
use super::procfs::{self, Process};
use std::fs;
use std::net::SocketAddr;

/// What was found of the machine and this process.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The kernel's own name of its version.
    pub(super) release: String,
    /// Its major and minor number; (0, 0) where they cannot be read.
    pub(super) kernel: (u32, u32),
    /// Whether the XDP program is built in.
    pub(super) ebpf_object: bool,
    /// Effective capabilities, a bit each.
    pub(super) capabilities: u64,
    /// Whether the kernel tells its types.
    pub(super) btf: bool,
    /// `none`, `integrity` or `confidentiality`; `None` where the kernel has no lockdown, or hides it.
    pub(super) lockdown: Option<String>,
    /// The sysctl of this name.
    pub(super) unprivileged_bpf_disabled: Option<u32>,
    /// The sysctl `net.core.bpf_jit_enable`; `None` where this process cannot see it.
    pub(super) jit: Option<u32>,
    /// Bytes that may be locked in memory; `None` for no limit.
    pub(super) memlock: Option<u64>,
    /// Files that may be open; `None` for no limit.
    pub(super) open_files: Option<u64>,
    /// Cores that this process may run on.
    pub(super) cores: u32,
    /// Sockets on the STUN port.
    pub(super) listeners: Vec<(SocketAddr, Option<Process>)>,
}

/// Default port of STUN over UDP (RFC 8489 §8.1).
const STUN_PORT: u16 = 3478;

/// A capability that `xstun serve` makes use of (linux/capability.h).
pub(super) struct Capability {
    bit: u32,
    name: &'static str,
    purpose: &'static str,
}

const NET_ADMIN: Capability =
    Capability { bit: 12, name: "CAP_NET_ADMIN", purpose: "attach the XDP program, busy polling" };
const NET_RAW: Capability = Capability { bit: 13, name: "CAP_NET_RAW", purpose: "open AF_XDP sockets" };
const BPF: Capability = Capability { bit: 39, name: "CAP_BPF", purpose: "load the XDP program and its maps" };
const PERFMON: Capability =
    Capability { bit: 38, name: "CAP_PERFMON", purpose: "let the verifier reason as freely as for root" };
const IPC_LOCK: Capability =
    Capability { bit: 14, name: "CAP_IPC_LOCK", purpose: "UMEM beyond the memlock limit" };
/// Stands for CAP_BPF and CAP_PERFMON, as it did before Linux 5.8 divided it.
const SYS_ADMIN: u32 = 21;

/// How the missing ones are granted.
const GRANT: &str = "run it as root, or: setcap \
     cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep \"$(command -v xstun)\"";

impl Host {
    pub(super) fn gather(ebpf_object: bool) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let number = |path| fs::read_to_string(path).ok()?.trim().parse().ok();
        let limit = |resource| rustix::process::getrlimit(resource).current;
        Host {
            kernel: crate::kernel::parse(&release),
            release,
            ebpf_object,
            capabilities: fs::read_to_string("/proc/thread-self/status")
                .ok()
                .and_then(|status| procfs::effective_capabilities(&status))
                .unwrap_or_default(),
            btf: fs::metadata("/sys/kernel/btf/vmlinux").is_ok(),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
                .ok()
                .and_then(|text| procfs::chosen(&text).map(str::to_owned)),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            jit: number("/proc/sys/net/core/bpf_jit_enable"),
            memlock: limit(rustix::process::Resource::Memlock),
            open_files: limit(rustix::process::Resource::Nofile),
            cores: rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count()),
            listeners: ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"]
                .into_iter()
                .filter_map(|table| fs::read_to_string(table).ok())
                .flat_map(|table| procfs::bound_to(STUN_PORT, &table))
                .map(|bound| (bound.address, procfs::holder_of_socket(bound.inode)))
                .collect(),
        }
    }

    fn has(&self, capability: &Capability) -> bool {
        let divided = [BPF.bit, PERFMON.bit].contains(&capability.bit);
        self.capabilities & 1 << capability.bit != 0 || divided && self.capabilities & 1 << SYS_ADMIN != 0
    }

    /// Names of the capabilities without which there is no AF_XDP, and which this process lacks.
    pub(super) fn missing_capabilities(&self) -> Vec<&'static str> {
        [NET_ADMIN, NET_RAW, BPF]
            .iter()
            .filter(|needed| !self.has(needed))
            .map(|needed| needed.name)
            .collect()
    }

    pub(super) fn judge(&self) -> Vec<Check> {
        let mut checks = vec![self.judge_kernel(), self.judge_build(), self.judge_capabilities()];
        checks.push(self.judge_memlock());
        checks.extend([self.judge_jit(), self.judge_bpf_access(), self.judge_btf()]);
        checks.extend([self.judge_open_files(), self.judge_cores(), self.judge_port()]);
        checks
    }

    fn judge_kernel(&self) -> Check {
        let yes = |at_least| if self.kernel >= at_least { "yes" } else { "no" };
        let found = format!(
            "{}; XDP on jumbo MTUs (5.18): {}; larger transmit batches in copy mode (6.18): {}",
            self.release,
            yes((5, 18)),
            yes((6, 18))
        );
        if self.kernel >= (5, 15) {
            Check::ok("kernel", found)
        } else {
            Check::warning("kernel", format!("{found}; AF_XDP is tested with 5.15 and later"))
                .fix("upgrade the kernel, or serve with --datapath socket")
        }
    }

    fn judge_build(&self) -> Check {
        const CHECK: &str = "XDP program";
        if self.ebpf_object {
            Check::ok(CHECK, "built in")
        } else if cfg!(feature = "af-xdp") {
            Check::problem(CHECK, "not built in: this xstun serves over sockets only")
                .fix("build it with: cargo xtask build")
        } else {
            Check::warning(CHECK, "built without AF_XDP: this xstun serves over sockets only")
                .fix("build it with: cargo xtask build")
        }
    }

    fn judge_capabilities(&self) -> Check {
        const CHECK: &str = "capabilities";
        let lacking = |all: &[Capability]| {
            all.iter()
                .filter(|needed| !self.has(needed))
                .map(|needed| format!("{} ({})", needed.name, needed.purpose))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let needed = lacking(&[NET_ADMIN, NET_RAW, BPF]);
        let wished = lacking(&[PERFMON, IPC_LOCK]);
        if !needed.is_empty() {
            Check::problem(CHECK, format!("this process lacks, for AF_XDP: {needed}")).fix(GRANT)
        } else if !wished.is_empty() {
            Check::warning(CHECK, format!("enough for AF_XDP, but without {wished}")).fix(GRANT)
        } else {
            Check::ok(CHECK, "all that AF_XDP needs")
        }
    }

    fn judge_memlock(&self) -> Check {
        const CHECK: &str = "memlock";
        /// UMEM of one queue: 4,096 frames of 2 KiB, and its rings.
        const ONE_QUEUE: u64 = 9 << 20;
        match self.memlock {
            None => Check::ok(CHECK, "no limit"),
            Some(limit) if self.has(&IPC_LOCK) => {
                Check::ok(CHECK, format!("{}, of no matter with CAP_IPC_LOCK", size(limit)))
            }
            Some(limit) if limit < ONE_QUEUE => Check::warning(
                CHECK,
                format!("{}: too little for a UMEM, which counts without CAP_IPC_LOCK", size(limit)),
            )
            .fix("grant CAP_IPC_LOCK, or: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)"),
            Some(limit) => {
                Check::info(CHECK, format!("{}: room for {} queues at most", size(limit), limit / ONE_QUEUE))
            }
        }
    }

    fn judge_jit(&self) -> Check {
        match self.jit {
            Some(0) => Check::warning("BPF JIT", "off: the XDP program is interpreted, several times slower")
                .fix("sysctl -w net.core.bpf_jit_enable=1"),
            Some(_) => Check::ok("BPF JIT", "on"),
            None => Check::info("BPF JIT", "not to be seen without root or from this network namespace"),
        }
    }

    fn judge_bpf_access(&self) -> Check {
        let unprivileged = match self.unprivileged_bpf_disabled {
            Some(0) => "open to everyone",
            Some(_) => "for CAP_BPF only",
            None => "of unknown access",
        };
        // Even full lockdown refuses only programs that read kernel memory, which the XDP program
        // does not.
        let lockdown = self.lockdown.as_deref().unwrap_or("unknown or not built in");
        Check::info("BPF access", format!("bpf() is {unprivileged}; kernel lockdown: {lockdown}"))
    }

    fn judge_btf(&self) -> Check {
        let found =
            if self.btf { "/sys/kernel/btf/vmlinux is there" } else { "the kernel was built without" };
        Check::info("BTF", format!("{found}; the XDP program does without"))
    }

    fn judge_open_files(&self) -> Check {
        const CHECK: &str = "open files";
        match self.open_files {
            Some(limit) if limit < 1024 => {
                Check::warning(CHECK, format!("{limit} at most; each queue and each core takes several"))
                    .fix("ulimit -n 4096 (systemd: LimitNOFILE=4096)")
            }
            Some(limit) => Check::ok(CHECK, format!("{limit} at most")),
            None => Check::ok(CHECK, "no limit"),
        }
    }

    fn judge_cores(&self) -> Check {
        Check::info("cores", format!("this process may run on {}", self.cores))
    }

    fn judge_port(&self) -> Check {
        let check = "port";
        if self.listeners.is_empty() {
            return Check::ok(check, format!("UDP {STUN_PORT} is free"));
        }
        let holders: Vec<_> = self
            .listeners
            .iter()
            .map(|(address, process)| match process {
                Some(process) => format!("{address} by {process}"),
                None => format!("{address} by a process that only root can see"),
            })
            .collect();
        let found = format!("UDP {STUN_PORT} is taken: {}", holders.join(", "));
        let ours = |(_, process): &(_, Option<Process>)| process.as_ref().is_some_and(|p| p.name == "xstun");
        if self.listeners.iter().all(ours) {
            Check::warning(check, found).fix("stop that xstun before starting another on the same port")
        } else {
            Check::problem(check, found).fix("stop that server, or serve elsewhere with --listen ADDR:PORT")
        }
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

#[cfg(test)]
pub(super) mod tests;
