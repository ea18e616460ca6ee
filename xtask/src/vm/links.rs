//! The links between a guest's NICs: taps and bridges in a network namespace of their own, apart from
//! the host's network.

use super::cases::VmCase;
use crate::netns::Namespace;
use crate::run::output;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Kind of the namespaces, in their names.
pub(super) const KIND: &str = "vm";

/// One guest's links. Drop deletes them.
pub(super) struct GuestLinks {
    namespace: Namespace,
}

impl GuestLinks {
    /// Makes a link for each NIC: two taps, joined by a bridge.
    ///
    /// # Errors
    /// There is no /dev/net/tun, this kernel has no bridges, or this process may not make them.
    pub(super) fn create(guest: usize, cases: &[(usize, VmCase)]) -> Result<Self> {
        fs::metadata("/dev/net/tun")
            .context("there is no /dev/net/tun, which the guests' links need: run `modprobe tun`")?;
        let namespace = Namespace::create(KIND, &guest.to_string())?;
        // The bridges carry the guests' frames and send none of their own.
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
        Ok(GuestLinks { namespace })
    }

    /// A command that runs in the namespace of the links. The kernel kills it when this process dies.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.namespace.command(program.as_ref())
    }
}
