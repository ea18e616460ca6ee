//! How an interface stands: its link, kind, addresses, driver, and what is attached to it.

use super::check::Check;
use super::facts::Facts;
use super::host::Host;
use crate::interface::Address;

impl Facts {
    /// Every check of the interface.
    pub(super) fn judge(&self, host: &Host) -> Vec<Check> {
        let mut checks = vec![self.judge_link(), self.judge_kind(), self.judge_addresses()];
        checks.extend(self.judge_master());
        if !self.interface.ethernet {
            return checks;
        }
        checks.push(self.judge_driver());
        checks.extend(self.judge_attached());
        checks.push(self.judge_queues(host));
        checks.extend(self.judge_hash());
        checks.extend([self.judge_mtu(host), self.judge_vlan(), self.judge_coalescing()]);
        checks.extend(self.judge_rings());
        checks.push(self.judge_napi());
        if self.interface.promiscuous {
            let found = "on: frames for other hosts arrive too; they are passed on untouched";
            checks.push(Check::info("promiscuous", found));
        }
        checks
    }

    fn judge_link(&self) -> Check {
        let name = &self.interface.name;
        if !self.interface.up {
            Check::problem("link", "down").fix(format!("ip link set dev {name} up"))
        } else if !self.interface.running {
            Check::warning("link", "up, but without carrier")
                .fix(format!("check the cable, or the other end; then: ip link show dev {name}"))
        } else {
            Check::ok("link", "up and running")
        }
    }

    fn judge_kind(&self) -> Check {
        const CHECK: &str = "kind";
        let other = |what: &str, device: &str| {
            Check::warning(CHECK, what).fix(format!("xstun serve --interface {device} --listen ADDR:PORT"))
        };
        match self.kind() {
            _ if self.interface.loopback => Check::info(CHECK, "loopback: served over sockets"),
            _ if !self.interface.ethernet => Check::warning(CHECK, "no Ethernet: served over sockets only")
                .fix("name an Ethernet interface, or leave --interface away"),
            Some("vlan") => other(
                "vlan: only generic XDP here; the program reads the tag on the interface below",
                self.lower.as_deref().unwrap_or("PARENT"),
            ),
            Some(kind @ ("bond" | "team")) => other(
                &format!("{kind}: frames arrive on its members, where AF_XDP sockets must sit"),
                &if self.members.is_empty() { "MEMBER".into() } else { self.members.join(" --interface ") },
            ),
            Some(kind @ ("bridge" | "macvlan" | "ipvlan" | "ovs" | "dummy")) => Check::warning(
                CHECK,
                format!("{kind}: only generic XDP, and frames from this host itself may pass it by"),
            )
            .fix("name the interface that the frames come in on"),
            Some(kind) => Check::ok(CHECK, format!("Ethernet ({kind})")),
            None => Check::ok(CHECK, "Ethernet"),
        }
    }

    fn judge_addresses(&self) -> Check {
        const CHECK: &str = "addresses";
        let (waiting, served): (Vec<_>, Vec<_>) = self.addresses.iter().partition(|a| a.tentative);
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
            Check::warning(CHECK, "none that could be served").fix(format!(
                "ip addr add ADDRESS/PREFIX dev {}, or name one with --listen",
                self.interface.name
            ))
        } else if waiting.is_empty() {
            Check::ok(CHECK, list(&served))
        } else {
            Check::warning(
                CHECK,
                format!(
                    "{}; not usable, being or having been found duplicate: {}",
                    list(&served),
                    list(&waiting)
                ),
            )
            .fix(format!("wait two seconds; then: ip -6 addr show dev {} tentative", self.interface.name))
        }
    }

    fn judge_master(&self) -> Option<Check> {
        let (master, kind) = self.master.as_ref()?;
        Some(Check::warning("member", format!("of {kind} {master}, which holds the addresses")).fix(format!(
            "xstun serve --interface {} --listen ADDRESS-OF-{master}:PORT",
            self.interface.name
        )))
    }

    fn judge_driver(&self) -> Check {
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
                    format!("{driver}; XDP features: {has}; native XDP needs basic and redirect"),
                )
                .fix("a NIC whose driver has native XDP; until then generic XDP serves")
            }
            None => Check::info(CHECK, format!("{driver}; the kernel tells XDP features since 6.3")),
        }
    }

    fn judge_attached(&self) -> Option<Check> {
        const CHECK: &str = "attached";
        let Some(attached) = self.interface.xdp else {
            return Some(Check::ok(CHECK, "no XDP program"));
        };
        let held = self.holder.as_ref().map(|holder| format!(", held by {holder}")).unwrap_or_default();
        let found = format!("XDP program {} ({}){held}", attached.program_id, attached.mode.name());
        Some(match &self.holder {
            Some(holder) if holder.name == "xstun" => Check::info(CHECK, found),
            Some(holder) => Check::problem(CHECK, found)
                .fix(format!("stop {holder}, which takes its program away, or name another interface")),
            None => Check::problem(CHECK, found).fix(format!(
                "look at it: bpftool prog show id {}; if it is not needed: ip link set dev {} xdp off",
                attached.program_id, self.interface.name
            )),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
