//! Checks of how frames reach the XDP program: queues, sizes, offloads, polling.

use super::check::{Check, Severity};
use super::facts::{FRAME_MTU, InterfaceFacts};
use super::host::HostFacts;
use xstun_core::classify::MAX_FRAME;

impl InterfaceFacts {
    pub(super) fn check_queues(&self, host: &HostFacts) -> Check {
        const CHECK: &str = "queues";
        let name = &self.interface.name;
        let maximum = self.channels.map(|channels| {
            // A NIC has either combined or separate channels.
            if channels.combined_max > 0 {
                (channels.combined_max, "combined")
            } else {
                (channels.receive_max, "rx")
            }
        });
        let found = format!("{} receive", self.queues);
        match maximum {
            Some((maximum, channel)) if self.queues < maximum.min(host.cores) => {
                Check::info(CHECK, format!("{found}, of {maximum}: {} cores could serve more", host.cores))
                    .fix(format!("ethtool -L {name} {channel} {}", maximum.min(host.cores)))
            }
            Some((_, channel)) if self.queues > host.cores => {
                Check::info(CHECK, format!("{found}, on {} cores: some share a core", host.cores))
                    .fix(format!("ethtool -L {name} {channel} {}", host.cores))
            }
            _ => Check::ok(CHECK, found),
        }
    }

    pub(super) fn check_hash(&self) -> Option<Check> {
        const CHECK: &str = "UDP hash";
        if self.queues < 2 || self.kind().is_some() {
            return None;
        }
        let name = &self.interface.name;
        let hash = self.flow_hash.unwrap_or_default();
        let without_ports: Vec<_> = [("udp4", hash.udp4_ports), ("udp6", hash.udp6_ports)]
            .into_iter()
            .filter(|(_, ports)| *ports == Some(false))
            .map(|(flow, _)| flow)
            .collect();
        Some(if !without_ports.is_empty() {
            let fixes: Vec<_> = without_ports
                .iter()
                .map(|flow| format!("ethtool -N {name} rx-flow-hash {flow} sdfn"))
                .collect();
            Check::warning(
                CHECK,
                format!(
                    "{}: the hash ignores ports, so clients behind one NAT share a queue",
                    without_ports.join(", ")
                ),
            )
            .fix(fixes.join(" && "))
        } else if hash.udp4_ports.is_some() {
            Check::ok(CHECK, "includes addresses and ports")
        } else {
            Check::info(CHECK, format!("unknown; see: ethtool -n {name} rx-flow-hash udp4"))
        })
    }

    pub(super) fn check_mtu(&self, host: &HostFacts) -> Check {
        const CHECK: &str = "MTU";
        let mtu = self.interface.mtu;
        if mtu <= FRAME_MTU {
            return Check::ok(CHECK, format!("{mtu}: every frame fits a UMEM frame"));
        }
        let found = format!(
            "{mtu}: frames over {MAX_FRAME} bytes do not fit a UMEM frame, so the sockets serve them"
        );
        match self.multi_buffer(host) {
            Ok(()) => Check::info(CHECK, found),
            Err(reason) => Check::warning(CHECK, format!("{found}; native XDP may be refused: {reason}"))
                .fix(format!("ip link set dev {} mtu 1500", self.interface.name)),
        }
    }

    pub(super) fn check_vlan(&self) -> Check {
        const CHECK: &str = "VLAN tags";
        if !self.has_feature("rx-vlan-hw-parse") {
            return Check::ok(CHECK, "stay in the frame");
        }
        let found = "are removed before XDP sees the frame (rx-vlan-hw-parse)";
        let fix = format!("ethtool -K {} rxvlan off", self.interface.name);
        if self.vlans.is_empty() {
            Check::info(CHECK, format!("{found}; no VLAN is configured on this interface")).fix(fix)
        } else {
            Check::warning(
                CHECK,
                format!(
                    "{found}: requests in {} look untagged; never name its addresses in --listen here",
                    self.vlans.join(", ")
                ),
            )
            .fix(fix)
        }
    }

    pub(super) fn check_coalescing(&self) -> Check {
        const CHECK: &str = "coalescing";
        let on = |name: &&str| self.has_feature(name);
        let name = &self.interface.name;
        // Both merge datagrams before XDP sees them. Drivers refuse native XDP with them, or misbehave.
        let merging: Vec<_> = ["rx-lro", "rx-gro-hw"].into_iter().filter(on).collect();
        if !merging.is_empty() {
            let off: Vec<_> =
                merging.iter().map(|feature| format!("ethtool -K {name} {feature} off")).collect();
            let is_changeable = merging.iter().all(|feature| {
                self.features.as_ref().is_some_and(|features| features.is_changeable(feature))
            });
            let fix = if is_changeable {
                off.join(" && ")
            } else {
                "switch it off in the configuration of the virtual machine or NIC; ethtool cannot".into()
            };
            return Check::warning(
                CHECK,
                format!("{} on: the driver may refuse native XDP", merging.join(" and ")),
            )
            .fix(fix);
        }
        if self.has_feature("rx-udp-gro-forwarding") {
            return Check::warning(
                CHECK,
                "rx-udp-gro-forwarding on: in generic mode XDP may see merged datagrams",
            )
            .fix(format!("ethtool -K {name} rx-udp-gro-forwarding off"));
        }
        let gro = if self.has_feature("rx-gro") { "GRO on, which runs after native XDP" } else { "none" };
        Check::ok(CHECK, gro)
    }

    pub(super) fn check_rings(&self) -> Option<Check> {
        let rings = self.rings?;
        let of = |now: Option<u32>, most: Option<u32>| match (now, most) {
            (Some(now), Some(most)) => Some(format!("{now} of {most}")),
            (now, _) => now.map(|now| now.to_string()),
        };
        let receive = of(rings.receive, rings.receive_max)?;
        let transmit = of(rings.transmit, rings.transmit_max)?;
        Some(Check::info("NIC rings", format!("receive {receive}, transmit {transmit} descriptors")))
    }

    pub(super) fn check_napi(&self) -> Check {
        const CHECK: &str = "NAPI";
        let Some(napi) = self.napi else {
            return Check::info(CHECK, "unknown: /sys shows another network namespace");
        };
        let threaded =
            if napi.threaded.unwrap_or(0) > 0 { "polled by kernel threads" } else { "soft interrupts" };
        let found = format!(
            "{threaded}; napi_defer_hard_irqs {}, gro_flush_timeout {} ns",
            napi.defer_hard_irqs, napi.gro_flush_timeout
        );
        let severity = if napi.defer_hard_irqs > 0 && napi.gro_flush_timeout == 0 {
            // One of the two alone has no effect, which cannot be intended.
            Severity::Warning
        } else {
            Severity::Info
        };
        let check = Check::new(CHECK, severity, found);
        if severity == Severity::Warning {
            let file = format!("/sys/class/net/{}/napi_defer_hard_irqs", self.interface.name);
            check.fix(format!("echo 0 > {file} (xstun serve --busy-poll sets both, and restores them)"))
        } else {
            check
        }
    }
}
