//! The host and this process: facts and checks.

use super::check::Check;
use super::procfs::{self, RunningProcess};
use crate::datapath;
use std::fs;
use std::net::SocketAddr;

/// The facts about the host and this process.
#[derive(Clone, Debug)]
pub(super) struct HostFacts {
    /// The kernel's release, as `uname -r` prints it.
    pub(super) release: String,
    /// The kernel's major and minor version; (0, 0) if `release` cannot be parsed.
    pub(super) kernel: (u32, u32),
    /// Whether the XDP program is built in.
    pub(super) ebpf_object: bool,
    /// Effective capabilities, one bit each.
    pub(super) capabilities: u64,
    /// Whether the kernel has BTF.
    pub(super) btf: bool,
    /// `none`, `integrity` or `confidentiality`; `None` if the kernel has no lockdown, or hides it.
    pub(super) lockdown: Option<String>,
    /// The sysctl `kernel.unprivileged_bpf_disabled`.
    pub(super) unprivileged_bpf_disabled: Option<u32>,
    /// The sysctl `net.core.bpf_jit_enable`; `None` if this process cannot read it.
    pub(super) jit: Option<u32>,
    /// Limit on locked memory, in bytes; `None` for no limit.
    pub(super) memlock: Option<u64>,
    /// Limit on open files; `None` for no limit.
    pub(super) open_files: Option<u64>,
    /// Cores that this process may run on.
    pub(super) cores: u32,
    /// UDP sockets on the STUN port, with the process that holds each.
    pub(super) listeners: Vec<(SocketAddr, Option<RunningProcess>)>,
}

/// Default port of STUN over UDP (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

/// A capability that `xstun serve` uses (linux/capability.h).
struct Capability {
    bit: u32,
    name: &'static str,
    purpose: &'static str,
}

const NET_ADMIN: Capability =
    Capability { bit: 12, name: "CAP_NET_ADMIN", purpose: "attach the XDP program, busy polling" };
const NET_RAW: Capability = Capability { bit: 13, name: "CAP_NET_RAW", purpose: "open AF_XDP sockets" };
const BPF: Capability = Capability { bit: 39, name: "CAP_BPF", purpose: "load the XDP program and its maps" };
const PERFMON: Capability =
    Capability { bit: 38, name: "CAP_PERFMON", purpose: "verify the XDP program as for root" };
const IPC_LOCK: Capability =
    Capability { bit: 14, name: "CAP_IPC_LOCK", purpose: "allocate UMEM beyond the memlock limit" };
/// CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, which Linux 5.8 split from it.
const SYS_ADMIN: u32 = 21;

/// How to grant the missing capabilities.
const GRANT: &str = "run it as root, or: setcap \
     cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep \"$(command -v xstun)\"";

impl HostFacts {
    pub(super) fn gather(ebpf_object: bool) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let number = |path| fs::read_to_string(path).ok()?.trim().parse().ok();
        let limit = |resource| rustix::process::getrlimit(resource).current;
        HostFacts {
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
                .and_then(|text| procfs::selected(&text).map(str::to_owned)),
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
        let in_sys_admin = [BPF.bit, PERFMON.bit].contains(&capability.bit);
        self.capabilities & 1 << capability.bit != 0
            || in_sys_admin && self.capabilities & 1 << SYS_ADMIN != 0
    }

    /// Returns the names of the capabilities that AF_XDP requires and this process lacks.
    pub(super) fn missing_capabilities(&self) -> Vec<&'static str> {
        [NET_ADMIN, NET_RAW, BPF]
            .iter()
            .filter(|required| !self.has(required))
            .map(|required| required.name)
            .collect()
    }

    /// Returns every check of the host.
    pub(super) fn check(&self) -> Vec<Check> {
        let mut checks = vec![self.check_kernel(), self.check_build(), self.check_capabilities()];
        checks.push(self.check_memlock());
        checks.extend([self.check_jit(), self.check_bpf_access(), self.check_btf()]);
        checks.extend([self.check_open_files(), self.check_cores(), self.check_port()]);
        checks
    }

    fn check_kernel(&self) -> Check {
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

    fn check_build(&self) -> Check {
        const CHECK: &str = "XDP program";
        if self.ebpf_object {
            Check::ok(CHECK, "built in")
        } else if datapath::AF_XDP_BUILT {
            Check::problem(CHECK, "not built in: this xstun serves over sockets only")
                .fix("cargo xtask build")
        } else {
            Check::warning(CHECK, "built without AF_XDP: this xstun serves over sockets only")
                .fix("cargo xtask build")
        }
    }

    fn check_capabilities(&self) -> Check {
        const CHECK: &str = "capabilities";
        let missing = |all: &[Capability]| {
            all.iter()
                .filter(|capability| !self.has(capability))
                .map(|capability| format!("{} ({})", capability.name, capability.purpose))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let required = missing(&[NET_ADMIN, NET_RAW, BPF]);
        let optional = missing(&[PERFMON, IPC_LOCK]);
        if !required.is_empty() {
            Check::problem(CHECK, format!("this process lacks {required}, which AF_XDP requires")).fix(GRANT)
        } else if !optional.is_empty() {
            Check::warning(CHECK, format!("sufficient for AF_XDP, but without {optional}")).fix(GRANT)
        } else {
            Check::ok(CHECK, "all that AF_XDP uses")
        }
    }

    fn check_memlock(&self) -> Check {
        const CHECK: &str = "memlock";
        /// Bytes of one queue's UMEM, 4,096 frames of 2 KiB, and its rings.
        const ONE_QUEUE: u64 = 9 << 20;
        match self.memlock {
            None => Check::ok(CHECK, "no limit"),
            Some(limit) if self.has(&IPC_LOCK) => {
                Check::ok(CHECK, format!("{}, which CAP_IPC_LOCK overrides", size(limit)))
            }
            Some(limit) if limit < ONE_QUEUE => {
                Check::warning(CHECK, format!("{}: too little for a UMEM without CAP_IPC_LOCK", size(limit)))
                    .fix("grant CAP_IPC_LOCK, or: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)")
            }
            Some(limit) => {
                Check::info(CHECK, format!("{}: enough for {} queues", size(limit), limit / ONE_QUEUE))
            }
        }
    }

    fn check_jit(&self) -> Check {
        match self.jit {
            Some(0) => Check::warning("BPF JIT", "off: the XDP program is interpreted, several times slower")
                .fix("sysctl -w net.core.bpf_jit_enable=1"),
            Some(_) => Check::ok("BPF JIT", "on"),
            None => Check::info(
                "BPF JIT",
                "unknown: it can be read only as root and in the initial network namespace",
            ),
        }
    }

    fn check_bpf_access(&self) -> Check {
        let unprivileged = match self.unprivileged_bpf_disabled {
            Some(0) => "open to all users",
            Some(_) => "restricted to CAP_BPF",
            None => "of unknown access",
        };
        // Even confidentiality lockdown refuses only programs that read kernel memory. The XDP program does
        // not; those that count the drivers' losses do.
        let lockdown = self.lockdown.as_deref().unwrap_or("unknown or not built in");
        Check::info("BPF access", format!("bpf() is {unprivileged}; kernel lockdown: {lockdown}"))
    }

    fn check_btf(&self) -> Check {
        let found = if self.btf { "/sys/kernel/btf/vmlinux exists" } else { "the kernel has none" };
        let uses = if !self.btf {
            "what drivers lose after a verdict is not counted: that takes a kernel with CONFIG_DEBUG_INFO_BTF=y"
        } else if self.lockdown.as_deref() == Some("confidentiality") {
            "but what drivers lose after a verdict is not counted: kernel lockdown forbids it"
        } else {
            "what drivers lose after a verdict is counted"
        };
        Check::info("BTF", format!("{found}; {uses}"))
    }

    fn check_open_files(&self) -> Check {
        const CHECK: &str = "open files";
        match self.open_files {
            Some(limit) if limit < 1024 => {
                Check::warning(CHECK, format!("at most {limit}; each queue and each core uses several"))
                    .fix("ulimit -n 4096 (systemd: LimitNOFILE=4096)")
            }
            Some(limit) => Check::ok(CHECK, format!("at most {limit}")),
            None => Check::ok(CHECK, "no limit"),
        }
    }

    fn check_cores(&self) -> Check {
        Check::info("cores", format!("this process may run on {}", self.cores))
    }

    fn check_port(&self) -> Check {
        const CHECK: &str = "port";
        if self.listeners.is_empty() {
            return Check::ok(CHECK, format!("UDP {STUN_PORT} is free"));
        }
        let holders: Vec<_> = self
            .listeners
            .iter()
            .map(|(address, process)| match process {
                Some(process) => format!("{address} by {process}"),
                None => format!("{address} by a process that only root can see"),
            })
            .collect();
        let found = format!("UDP {STUN_PORT} is in use: {}", holders.join(", "));
        let is_xstun =
            |(_, process): &(_, Option<RunningProcess>)| process.as_ref().is_some_and(|p| p.name == "xstun");
        if self.listeners.iter().all(is_xstun) {
            Check::warning(CHECK, found)
                .fix("stop that xstun, or start this one with --control and --take-over")
        } else {
            Check::problem(CHECK, found)
                .fix("stop that server, or choose another port with --listen ADDR:PORT")
        }
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

#[cfg(test)]
pub(super) mod tests;
