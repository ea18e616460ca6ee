//! The servers that are measured, and how each is started.

use super::network::{BenchNetwork, CoreOrder, Cores, Napi, ReplyReceiver, SERVER, list};
use crate::build;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One row of the table.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// Key in the JSON and in `--only`.
    pub(super) id: &'static str,
    /// Name in the table.
    pub(super) label: &'static str,
    pub(super) kind: ContenderKind,
    /// Number of cores and of queues that it gets.
    pub(super) width: usize,
    /// Settings of the pair to try, the most promising first.
    pub(super) settings: &'static [Napi],
    launch: Launch,
}

/// The role of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContenderKind {
    /// The most that a way to serve allows.
    Limit,
    Ours,
    /// Another server.
    Other,
}

#[derive(Clone, Debug)]
enum Launch {
    Limit(&'static [&'static str]),
    Swap(&'static [&'static str]),
    Xstun(&'static [&'static str]),
    XstunSockets,
    Coturn,
    Baseline(&'static str),
}

/// Settings in which the server's core does its own receive work.
const OWN: &[Napi] = &[
    Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Thread),
    Napi::Thread(CoreOrder::InTurn, ReplyReceiver::Thread),
    Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Sender),
    Napi::Thread(CoreOrder::InTurn, ReplyReceiver::Sender),
];
/// The same where the kernel answers: the server has nothing to run, so who goes first decides nothing.
const IN_KERNEL: &[Napi] = &[
    Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Thread),
    Napi::Thread(CoreOrder::ServerFirst, ReplyReceiver::Sender),
];
/// The kernel's defaults: for a worker that polls, and if there is no other core to choose.
const DEFAULT: &[Napi] = &[Napi::Plain];

const fn contender(
    id: &'static str,
    label: &'static str,
    kind: ContenderKind,
    width: usize,
    settings: &'static [Napi],
    launch: Launch,
) -> Contender {
    Contender { id, label, kind, width, settings, launch }
}

const KERNEL_NATIVE: [&str; 4] = ["--xdp-mode", "native", "--kernel-answers", "on"];
const KERNEL_GENERIC: [&str; 4] = ["--xdp-mode", "generic", "--kernel-answers", "on"];
const NATIVE: [&str; 4] = ["--xdp-mode", "native", "--kernel-answers", "off"];
const NATIVE_BUSY_POLL: [&str; 5] = ["--xdp-mode", "native", "--kernel-answers", "off", "--busy-poll"];
const GENERIC: [&str; 4] = ["--xdp-mode", "generic", "--kernel-answers", "off"];

/// The rows that the bars of kernel answers compare.
pub(super) const KERNEL_ANSWERS: [&str; 9] = [
    "limit-kernel",
    "limit-kernel-generic",
    "kernel",
    "kernel-generic",
    "af-xdp",
    "af-xdp-generic",
    "socket",
    "batch",
    "coturn",
];

/// The rows that are the limit of a row, by their keys.
pub(super) fn limits_of(id: &str) -> &'static [&'static str] {
    match id {
        "kernel" | "limit-kernel" => &["limit-kernel"],
        "kernel-generic" | "limit-kernel-generic" => &["limit-kernel-generic"],
        _ => &["limit", "limit-busy-poll"],
    }
}

/// All rows, in the order of the table.
pub(super) fn all() -> Vec<Contender> {
    let mut rows = on_one_core();
    rows.extend(on_two_cores());
    rows
}

fn on_one_core() -> Vec<Contender> {
    use ContenderKind::{Limit, Other, Ours};
    let limit = |id, label, settings, launch| contender(id, label, Limit, 1, settings, launch);
    let ours = |id, label, settings, launch| contender(id, label, Ours, 1, settings, launch);
    let other = |id, label, launch| contender(id, label, Other, 1, OWN, launch);
    let busy = Launch::Limit(&["--busy-poll"]);
    let mut rows = vec![
        limit("limit-kernel", "limit: bare XDP_TX swap, native", IN_KERNEL, Launch::Swap(&[])),
        limit(
            "limit-kernel-generic",
            "limit: bare XDP_TX swap, generic",
            IN_KERNEL,
            Launch::Swap(&["--generic"]),
        ),
        limit("limit-busy-poll", "limit: bare AF_XDP swap loop, busy polling", DEFAULT, busy),
        limit("limit", "limit: bare AF_XDP swap loop, interrupts", OWN, Launch::Limit(&[])),
    ];
    rows.extend(
        [
            ("kernel", "xstun, kernel answers, native", IN_KERNEL, &KERNEL_NATIVE[..]),
            ("kernel-generic", "xstun, kernel answers, generic", IN_KERNEL, &KERNEL_GENERIC[..]),
            ("af-xdp-busy-poll", "xstun, AF_XDP native, busy polling", DEFAULT, &NATIVE_BUSY_POLL[..]),
            ("af-xdp", "xstun, AF_XDP native, interrupts", OWN, &NATIVE[..]),
            ("af-xdp-generic", "xstun, AF_XDP generic", OWN, &GENERIC[..]),
        ]
        .map(|(id, label, settings, flags)| ours(id, label, settings, Launch::Xstun(flags))),
    );
    rows.extend([
        ours("socket", "xstun, sockets", OWN, Launch::XstunSockets),
        other("batch", "recvmmsg and sendmmsg, fixed reply", Launch::Baseline("batch")),
        other("one", "recv_from and send_to, `stun` crate", Launch::Baseline("one")),
        other("tokio", "tokio, `stun` crate", Launch::Baseline("tokio")),
        other("coturn", "coturn", Launch::Coturn),
    ]);
    rows
}

fn on_two_cores() -> Vec<Contender> {
    use ContenderKind::{Other, Ours};
    let row = |id, label, kind, launch| contender(id, label, kind, 2, DEFAULT, launch);
    let one = "recv_from and send_to, SO_REUSEPORT, 2 cores";
    vec![
        row("af-xdp-2", "xstun, AF_XDP native, interrupts, 2 queues", Ours, Launch::Xstun(&NATIVE)),
        row("socket-2", "xstun, sockets, 2 cores", Ours, Launch::XstunSockets),
        row("one-2", one, Other, Launch::Baseline("one")),
        row("coturn-2", "coturn, 2 cores", Other, Launch::Coturn),
    ]
}

/// Paths of the programs.
pub(super) struct Programs {
    /// The xstun of these sources, the client.
    pub(super) xstun: PathBuf,
    /// The xstun that is measured.
    pub(super) served: PathBuf,
    limit: PathBuf,
    swap: PathBuf,
    /// The program that runs the generator in the kernel.
    pub(super) flood: PathBuf,
    /// The eBPF object of the generator and the swap.
    pub(super) generator: PathBuf,
    baselines: PathBuf,
    scratch: PathBuf,
}

impl Programs {
    pub(super) fn of(workspace: &Workspace) -> Self {
        Programs {
            xstun: workspace.xstun("release"),
            served: workspace.xstun("release"),
            limit: workspace.target.join("release/limit"),
            swap: workspace.target.join("release/swap"),
            flood: workspace.target.join("release/flood"),
            generator: build::generator_object(workspace),
            baselines: baselines_target(workspace).join("release/xstun-baselines"),
            scratch: workspace.target.join("bench"),
        }
    }

    /// Directory of the results and of the servers' logs.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The log file of a row's server.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.scratch.join(format!("{id}.log"))
    }
}

/// Target directory of the baselines' own workspace.
pub(super) fn baselines_target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("baselines")
}

impl Contender {
    /// Whether it answers STUN; the limit sends back what it receives.
    pub(super) fn answers(&self) -> bool {
        self.kind != ContenderKind::Limit
    }

    /// The command that starts it in the server's namespace, on its cores.
    pub(super) fn command(&self, network: &BenchNetwork, programs: &Programs, cores: &Cores) -> Command {
        let address = format!("{SERVER}:3478");
        let server = list(&cores.server);
        let mut command = network.server.command("taskset");
        command.args(["-c", &server]);
        if let Some(priority) = network.napi().server_priority() {
            command.args(["chrt", "-f", &priority.to_string()]);
        }
        match self.launch {
            Launch::Limit(flags) => {
                command.arg(&programs.limit).args([&network.interface, &address]).args(flags);
            }
            Launch::Swap(flags) => {
                command.arg(&programs.swap).args([&network.interface, "--object"]);
                command.arg(&programs.generator).args(flags);
            }
            Launch::Xstun(flags) => {
                command.arg(&programs.served).args(["serve", "--datapath", "af-xdp", "--listen", &address]);
                command.args(["--interface", &network.interface, "--cores", &server]).args(flags);
            }
            Launch::XstunSockets => {
                command.arg(&programs.served).args(["serve", "--datapath", "socket", "--listen", &address]);
                command.args(["--cores", &server]);
            }
            Launch::Baseline(kind) => {
                command.arg(&programs.baselines).args([kind, &address, "--cores", &server]);
            }
            Launch::Coturn => {
                // One thread per core, no credentials, UDP only, replies as short as possible.
                command.args(["turnserver", "-n", "--stun-only", "--no-auth", "--no-tcp", "--no-tls"]);
                command.args(["--no-dtls", "--no-cli", "--no-software-attribute", "--no-rfc5780"]);
                command.args(["--listening-ip", &SERVER.to_string(), "--listening-port", "3478"]);
                command.args(["--relay-threads", &cores.server.len().to_string()]);
                command.args(["--log-file", "stdout", "--no-stdout-log", "--pidfile"]);
                command.arg(programs.scratch.join("turnserver.pid"));
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::{ContenderKind, KERNEL_ANSWERS, all, limits_of};
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_a_key_and_settings_of_its_own() {
        let rows = all();
        assert_eq!(rows.iter().map(|row| row.id).collect::<BTreeSet<_>>().len(), rows.len());
        assert!(rows.iter().all(|row| !row.settings.is_empty() && row.width > 0));
        for kind in [ContenderKind::Limit, ContenderKind::Ours, ContenderKind::Other] {
            assert!(rows.iter().any(|row| row.kind == kind));
        }
    }

    #[test]
    fn rows_that_others_refer_to_exist() {
        let rows = all();
        let kind = |id: &str| rows.iter().find(|row| row.id == id).map(|row| row.kind);
        assert!(KERNEL_ANSWERS.iter().all(|id| kind(id).is_some()));
        let limits = rows.iter().flat_map(|row| limits_of(row.id));
        assert!(limits.copied().all(|id| kind(id) == Some(ContenderKind::Limit)));
    }
}
