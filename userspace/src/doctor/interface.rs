//! Checks of an interface: its link, kind, addresses, driver, and attached XDP program.

use super::check::Check;
use super::facts::InterfaceFacts;
use super::host::HostFacts;
use crate::interface::Address;

impl InterfaceFacts {
    /// Returns every check of the interface.
    pub(super) fn check(&self, host: &HostFacts) -> Vec<Check> {
        let mut checks = vec![self.check_link(), self.check_kind(), self.check_addresses()];
        checks.extend(self.check_master());
        if !self.interface.ethernet {
            return checks;
        }
        checks.push(self.check_driver());
        checks.extend(self.check_attached());
        checks.push(self.check_queues(host));
        checks.extend(self.check_hash());
        checks.extend([self.check_mtu(host), self.check_vlan(), self.check_coalescing()]);
        checks.extend(self.check_rings());
        checks.push(self.check_napi());
        if self.interface.promiscuous {
            let found = "on: frames for other hosts arrive too, and pass to the kernel unchanged";
            checks.push(Check::info("promiscuous", found));
        }
        checks
    }

    fn check_link(&self) -> Check {
        let name = &self.interface.name;
        if !self.interface.up {
            Check::problem("link", "down").fix(format!("ip link set dev {name} up"))
        } else if !self.interface.running {
            Check::warning("link", "up, but no carrier")
                .fix(format!("check the cable or the other end, then: ip link show dev {name}"))
        } else {
            Check::ok("link", "up and running")
        }
    }

    fn check_kind(&self) -> Check {
        const CHECK: &str = "kind";
        let use_other = |what: &str, device: &str| {
            Check::warning(CHECK, what).fix(format!("xstun serve --interface {device} --listen ADDR:PORT"))
        };
        match self.kind() {
            _ if self.interface.loopback => Check::info(CHECK, "loopback: served over sockets"),
            _ if !self.interface.ethernet => Check::warning(CHECK, "not Ethernet: served over sockets only")
                .fix("name an Ethernet interface, or omit --interface"),
            Some("vlan") => use_other(
                "vlan: only generic XDP here; serve the interface below, where the program reads the tag",
                self.lower.as_deref().unwrap_or("PARENT"),
            ),
            Some(kind @ ("bond" | "team")) => use_other(
                &format!("{kind}: frames arrive on its members, so AF_XDP sockets must be bound there"),
                &if self.members.is_empty() { "MEMBER".into() } else { self.members.join(" --interface ") },
            ),
            Some(kind @ ("bridge" | "macvlan" | "ipvlan" | "ovs" | "dummy")) => Check::warning(
                CHECK,
                format!("{kind}: only generic XDP, and frames from this host itself may bypass it"),
            )
            .fix("name the interface on which the frames arrive"),
            Some(kind) => Check::ok(CHECK, format!("Ethernet ({kind})")),
            None => Check::ok(CHECK, "Ethernet"),
        }
    }

    fn check_addresses(&self) -> Check {
        const CHECK: &str = "addresses";
        let (tentative, served): (Vec<_>, Vec<_>) = self.addresses.iter().partition(|a| a.tentative);
        let list = |addresses: &[&Address]| {
            addresses
                .iter()
                .map(|a| if a.deprecated { format!("{} (deprecated)", a.ip) } else { a.ip.to_string() })
                .collect::<Vec<_>>()
                .join(", ")
        };
        if served.is_empty() && self.master.is_some() {
            Check::info(CHECK, "none of its own")
        } else if served.is_empty() {
            Check::warning(CHECK, "none that can be served").fix(format!(
                "ip addr add ADDRESS/PREFIX dev {}, or name one with --listen",
                self.interface.name
            ))
        } else if tentative.is_empty() {
            Check::ok(CHECK, list(&served))
        } else {
            Check::warning(
                CHECK,
                format!(
                    "{}; not usable while tentative, or found duplicate: {}",
                    list(&served),
                    list(&tentative)
                ),
            )
            .fix(format!("wait two seconds, then: ip -6 addr show dev {} tentative", self.interface.name))
        }
    }

    fn check_master(&self) -> Option<Check> {
        let (master, kind) = self.master.as_ref()?;
        Some(Check::warning("member", format!("of {kind} {master}, which has the addresses")).fix(format!(
            "xstun serve --interface {} --listen ADDRESS-OF-{master}:PORT",
            self.interface.name
        )))
    }

    fn check_driver(&self) -> Check {
        const CHECK: &str = "driver";
        let driver = self.driver.as_deref().unwrap_or("unknown");
        match &self.xdp {
            Some(xdp) if xdp.basic() && xdp.redirect() => {
                Check::ok(CHECK, format!("{driver}; XDP features: {}", xdp.names().join(", ")))
            }
            Some(xdp) => {
                let has = if xdp.names().is_empty() { "none".into() } else { xdp.names().join(", ") };
                Check::warning(
                    CHECK,
                    format!("{driver}; XDP features: {has}; native XDP requires basic and redirect"),
                )
                .fix("use a NIC whose driver has native XDP; until then generic XDP serves")
            }
            None => Check::info(CHECK, format!("{driver}; the kernel reports XDP features since 6.3")),
        }
    }

    fn check_attached(&self) -> Option<Check> {
        const CHECK: &str = "attached";
        let Some(attached) = self.interface.xdp else {
            return Some(Check::ok(CHECK, "no XDP program"));
        };
        let held_by = self.holder.as_ref().map(|holder| format!(", held by {holder}")).unwrap_or_default();
        let found = format!("XDP program {} ({}){held_by}", attached.program_id, attached.mode.name());
        Some(match &self.holder {
            Some(holder) if holder.name == "xstun" => Check::info(CHECK, found),
            Some(holder) => Check::problem(CHECK, found)
                .fix(format!("stop {holder}, which detaches its program, or name another interface")),
            None => Check::problem(CHECK, found).fix(format!(
                "bpftool prog show id {}; if it is not needed: ip link set dev {} xdp off",
                attached.program_id, self.interface.name
            )),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
