//! The wires between a guest's NICs: taps and bridges in a network namespace of their own, so that
//! the host's own network has no part in them.

use super::cases::Case;
use crate::netns::Namespace;
use crate::run::output;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Kind of the namespaces, in their names.
pub(super) const KIND: &str = "vm";

/// One guest's wires, gone when dropped.
pub(super) struct Wires {
    namespace: Namespace,
}

impl Wires {
    /// Lays a wire for each NIC: two taps and the bridge that joins them.
    ///
    /// # Errors
    /// No /dev/net/tun, no bridges in this kernel, or no right to make them.
    pub(super) fn lay(guest: usize, cases: &[(usize, Case)]) -> Result<Self> {
        fs::metadata("/dev/net/tun")
            .context("there is no /dev/net/tun, which the guests' wires need: `modprobe tun`")?;
        let namespace = Namespace::create(KIND, &guest.to_string())?;
        // The bridges shall carry the guests' frames and say nothing themselves.
        let quiet = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
        output(namespace.command("sh").args(["-c", quiet]))?;
        for (number, case) in cases.iter().filter(|(_, case)| case.is_nic()) {
            let queues = if case.queues > 1 { " multi_queue" } else { "" };
            namespace.ip(&format!(
                "link add b{number} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ))?;
            namespace.ip(&format!("tuntap add dev s{number} mode tap{queues}"))?;
            namespace.ip(&format!("tuntap add dev c{number} mode tap"))?;
            for end in ["s", "c"] {
                namespace.ip(&format!("link set {end}{number} master b{number} up"))?;
            }
            namespace.ip(&format!("link set b{number} up"))?;
        }
        Ok(Wires { namespace })
    }

    /// A command that runs where the wires are, and dies with this process.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.namespace.command(program.as_ref())
    }
}
