//! How frames reach the XDP program: queues, sizes, offloads, polling.

use super::check::{Check, Verdict};
use super::facts::{FRAME_MTU, Facts};
use super::host::Host;
use xstun_ebpf::MAX_FRAME;

impl Facts {
    pub(super) fn judge_queues(&self, host: &Host) -> Check {
        const CHECK: &str = "queues";
        let name = &self.interface.name;
        let most = self.channels.map(|channels| {
            // A NIC has combined queues or separate ones.
            if channels.combined_max > 0 {
                (channels.combined_max, "combined")
            } else {
                (channels.receive_max, "rx")
            }
        });
        let found = format!("{} receive", self.queues);
        match most {
            Some((most, channel)) if self.queues < most.min(host.cores) => {
                Check::info(CHECK, format!("{found}, of {most}: {} cores could serve more", host.cores))
                    .fix(format!("ethtool -L {name} {channel} {}", most.min(host.cores)))
            }
            Some((_, channel)) if self.queues > host.cores => {
                Check::info(CHECK, format!("{found}, on {} cores: some share a core", host.cores))
                    .fix(format!("ethtool -L {name} {channel} {}", host.cores))
            }
            _ => Check::ok(CHECK, found),
        }
    }

    pub(super) fn judge_hash(&self) -> Option<Check> {
        const CHECK: &str = "UDP hash";
        if self.queues < 2 || self.kind().is_some() {
            return None;
        }
        let name = &self.interface.name;
        let hash = self.flow_hash.unwrap_or_default();
        let lacking: Vec<_> = [("udp4", hash.udp4_ports), ("udp6", hash.udp6_ports)]
            .into_iter()
            .filter(|(_, ports)| *ports == Some(false))
            .map(|(flow, _)| flow)
            .collect();
        Some(if !lacking.is_empty() {
            let fixes: Vec<_> =
                lacking.iter().map(|flow| format!("ethtool -N {name} rx-flow-hash {flow} sdfn")).collect();
            Check::warning(
                CHECK,
                format!(
                    "{} queues are chosen without the ports: clients behind one NAT share one",
                    lacking.join(", ")
                ),
            )
            .fix(fixes.join(" && "))
        } else if hash.udp4_ports.is_some() {
            Check::ok(CHECK, "queues are chosen by addresses and ports")
        } else {
            Check::info(CHECK, format!("unknown; see: ethtool -n {name} rx-flow-hash udp4"))
        })
    }

    pub(super) fn judge_mtu(&self, host: &Host) -> Check {
        const CHECK: &str = "MTU";
        let mtu = self.interface.mtu;
        if mtu <= FRAME_MTU {
            return Check::ok(CHECK, format!("{mtu}: every frame fits a UMEM frame"));
        }
        let found = format!(
            "{mtu}: frames over {MAX_FRAME} bytes do not fit a UMEM frame and go to the kernel's sockets"
        );
        match self.multi_buffer(host) {
            Ok(()) => Check::info(CHECK, found),
            Err(lack) => Check::warning(CHECK, format!("{found}; native XDP may be refused, since {lack}"))
                .fix(format!("ip link set dev {} mtu 1500", self.interface.name)),
        }
    }

    pub(super) fn judge_vlan(&self) -> Check {
        const CHECK: &str = "VLAN tags";
        if !self.has_feature("rx-vlan-hw-parse") {
            return Check::ok(CHECK, "stay in the frame");
        }
        let found = "are taken out of the frame before XDP sees it (rx-vlan-hw-parse)";
        let fix = format!("ethtool -K {} rxvlan off", self.interface.name);
        if self.vlans.is_empty() {
            Check::info(CHECK, format!("{found}; no VLAN is configured on it")).fix(fix)
        } else {
            Check::warning(
                CHECK,
                format!(
                    "{found}: requests in {} look untagged; never name its addresses with --listen here",
                    self.vlans.join(", ")
                ),
            )
            .fix(fix)
        }
    }

    pub(super) fn judge_coalescing(&self) -> Check {
        const CHECK: &str = "coalescing";
        let on = |name: &&str| self.has_feature(name);
        let name = &self.interface.name;
        // Both merge datagrams before XDP sees them; drivers refuse native XDP, or worse.
        let merging: Vec<_> = ["rx-lro", "rx-gro-hw"].into_iter().filter(on).collect();
        if !merging.is_empty() {
            let off: Vec<_> =
                merging.iter().map(|feature| format!("ethtool -K {name} {feature} off")).collect();
            let switchable = merging.iter().all(|feature| {
                self.features.as_ref().is_some_and(|features| features.is_changeable(feature))
            });
            let fix = if switchable {
                off.join(" && ")
            } else {
                "switch it off where the virtual machine or the NIC is set up; ethtool cannot".into()
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
        let gro = if self.has_feature("rx-gro") { "GRO on, which native XDP comes before" } else { "none" };
        Check::ok(CHECK, gro)
    }

    pub(super) fn judge_rings(&self) -> Option<Check> {
        let rings = self.rings?;
        let of = |now: Option<u32>, most: Option<u32>| match (now, most) {
            (Some(now), Some(most)) => Some(format!("{now} of {most}")),
            (now, _) => now.map(|now| now.to_string()),
        };
        let receive = of(rings.receive, rings.receive_max)?;
        let transmit = of(rings.transmit, rings.transmit_max)?;
        Some(Check::info("NIC rings", format!("receive {receive}, transmit {transmit} descriptors")))
    }

    pub(super) fn judge_napi(&self) -> Check {
        const CHECK: &str = "NAPI";
        let Some(napi) = self.napi else {
            return Check::info(CHECK, "not to be seen: /sys shows another network namespace");
        };
        let threaded =
            if napi.threaded.unwrap_or(0) > 0 { "polled by kernel threads" } else { "soft interrupts" };
        let found = format!(
            "{threaded}; napi_defer_hard_irqs {}, gro_flush_timeout {} ns",
            napi.defer_hard_irqs, napi.gro_flush_timeout
        );
        let verdict = if napi.defer_hard_irqs > 0 && napi.gro_flush_timeout == 0 {
            // Half of a pair has no effect; somebody meant something else.
            Verdict::Warning
        } else {
            Verdict::Info
        };
        let check = Check::new(CHECK, verdict, found);
        if verdict == Verdict::Warning {
            let file = format!("/sys/class/net/{}/napi_defer_hard_irqs", self.interface.name);
            check.fix(format!("echo 0 > {file} (xstun serve --busy-poll sets both, and puts them back)"))
        } else {
            check
        }
    }
}
