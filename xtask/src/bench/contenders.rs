//! Who is measured, and how each is started.

use super::stage::{Cores, Napi, Order, Replies, SERVER, Stage, list};
use crate::build;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One row of the table.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// Key in the JSON and for `--only`.
    pub(super) id: &'static str,
    /// What it is, for a person.
    pub(super) label: &'static str,
    pub(super) kind: Kind,
    /// Cores and queues that it gets.
    pub(super) width: usize,
    /// Settings of the pair that may suit it, the likeliest first.
    pub(super) settings: &'static [Napi],
    launch: Launch,
}

/// What a row is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// More than this cannot be had over AF_XDP.
    Limit,
    Ours,
    /// What people use instead.
    Other,
}

#[derive(Clone, Debug)]
enum Launch {
    Limit(&'static [&'static str]),
    Xstun(&'static [&'static str]),
    XstunSockets,
    Coturn,
    Baseline(&'static str),
}

/// The server's core does its own receive work.
const OWN: &[Napi] = &[
    Napi::Thread(Order::ServerFirst, Replies::Thread),
    Napi::Thread(Order::InTurn, Replies::Thread),
    Napi::Thread(Order::ServerFirst, Replies::Sender),
    Napi::Thread(Order::InTurn, Replies::Sender),
];
/// As the kernel makes the pair: for a worker that polls, and where no core is left to choose.
const AS_MADE: &[Napi] = &[Napi::Plain];

const fn contender(
    id: &'static str,
    label: &'static str,
    kind: Kind,
    width: usize,
    settings: &'static [Napi],
    launch: Launch,
) -> Contender {
    Contender { id, label, kind, width, settings, launch }
}

/// All rows, in the order of the table.
pub(super) fn all() -> Vec<Contender> {
    use Kind::{Limit, Other, Ours};
    vec![
        contender(
            "limit-busy-poll",
            "limit: bare AF_XDP swap loop, busy polling",
            Limit,
            1,
            AS_MADE,
            Launch::Limit(&["--busy-poll"]),
        ),
        contender("limit", "limit: bare AF_XDP swap loop, interrupts", Limit, 1, OWN, Launch::Limit(&[])),
        contender(
            "af-xdp-busy-poll",
            "xstun, AF_XDP native, busy polling",
            Ours,
            1,
            AS_MADE,
            Launch::Xstun(&["--xdp-mode", "native", "--busy-poll"]),
        ),
        contender(
            "af-xdp",
            "xstun, AF_XDP native, interrupts",
            Ours,
            1,
            OWN,
            Launch::Xstun(&["--xdp-mode", "native"]),
        ),
        contender(
            "af-xdp-generic",
            "xstun, AF_XDP generic",
            Ours,
            1,
            OWN,
            Launch::Xstun(&["--xdp-mode", "generic"]),
        ),
        contender("socket", "xstun, sockets", Ours, 1, OWN, Launch::XstunSockets),
        contender("batch", "recvmmsg and sendmmsg, fixed reply", Other, 1, OWN, Launch::Baseline("batch")),
        contender("one", "recv_from and send_to, `stun` crate", Other, 1, OWN, Launch::Baseline("one")),
        contender("tokio", "tokio, `stun` crate", Other, 1, OWN, Launch::Baseline("tokio")),
        contender("coturn", "coturn", Other, 1, OWN, Launch::Coturn),
        contender(
            "af-xdp-2",
            "xstun, AF_XDP native, interrupts, 2 queues",
            Ours,
            2,
            AS_MADE,
            Launch::Xstun(&["--xdp-mode", "native"]),
        ),
        contender("socket-2", "xstun, sockets, 2 cores", Ours, 2, AS_MADE, Launch::XstunSockets),
        contender(
            "one-2",
            "recv_from and send_to, SO_REUSEPORT, 2 cores",
            Other,
            2,
            AS_MADE,
            Launch::Baseline("one"),
        ),
        contender("coturn-2", "coturn, 2 cores", Other, 2, AS_MADE, Launch::Coturn),
    ]
}

/// Where the programs stand.
pub(super) struct Programs {
    /// The xstun of these sources, which asks.
    pub(super) xstun: PathBuf,
    /// The xstun that serves.
    pub(super) served: PathBuf,
    limit: PathBuf,
    /// The generator within the kernel, and its object.
    pub(super) flood: PathBuf,
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
            flood: workspace.target.join("release/flood"),
            generator: build::generator_object(workspace),
            baselines: baselines_target(workspace).join("release/xstun-baselines"),
            scratch: workspace.target.join("bench"),
        }
    }

    /// Where results and the servers' logs are written.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The file that a row's server prints into.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.scratch.join(format!("{id}.log"))
    }
}

/// Target directory of the baselines' own workspace.
pub(super) fn baselines_target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("baselines")
}

impl Contender {
    /// Whether it answers STUN; the limit sends back what it gets.
    pub(super) fn answers(&self) -> bool {
        self.kind != Kind::Limit
    }

    /// The command that serves on the stage, on its cores.
    pub(super) fn command(&self, stage: &Stage, programs: &Programs, cores: &Cores) -> Command {
        let address = format!("{SERVER}:3478");
        let server = list(&cores.server);
        let mut command = stage.server.command("taskset");
        command.args(["-c", &server]);
        if let Some(priority) = stage.napi().server_priority() {
            command.args(["chrt", "-f", &priority.to_string()]);
        }
        match self.launch {
            Launch::Limit(flags) => {
                command.arg(&programs.limit).args([&stage.interface, &address]).args(flags);
            }
            Launch::Xstun(flags) => {
                command.arg(&programs.served).args(["serve", "--datapath", "af-xdp", "--listen", &address]);
                command.args(["--interface", &stage.interface, "--cores", &server]).args(flags);
            }
            Launch::XstunSockets => {
                command.arg(&programs.served).args(["serve", "--datapath", "socket", "--listen", &address]);
                command.args(["--cores", &server]);
            }
            Launch::Baseline(kind) => {
                command.arg(&programs.baselines).args([kind, &address, "--cores", &server]);
            }
            Launch::Coturn => {
                // A thread a core, no credentials, no other transport, no reply longer than need be.
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
    use super::{Kind, all};
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_a_key_and_settings_of_its_own() {
        let rows = all();
        assert_eq!(rows.iter().map(|row| row.id).collect::<BTreeSet<_>>().len(), rows.len());
        assert!(rows.iter().all(|row| !row.settings.is_empty() && row.width > 0));
        for kind in [Kind::Limit, Kind::Ours, Kind::Other] {
            assert!(rows.iter().any(|row| row.kind == kind));
        }
    }
}
