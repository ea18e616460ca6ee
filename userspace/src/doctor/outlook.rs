//! What `xstun serve` would get on an interface, without trying it.

use super::check::{Check, OUTLOOK};
use super::facts::{FRAME_MTU, Facts};
use super::host::Host;
use super::report::counted;
use crate::datapath::drivers::{self, ZeroCopy, zero_copy};

/// One line: XDP mode, copy or zero-copy, queues; or why sockets only.
pub(super) fn outlook(facts: &Facts, host: &Host) -> Check {
    let found = match sockets_only(facts, host) {
        Some(reason) => format!("sockets only, since {reason}"),
        None => {
            let (mode, bind) = match generic_only(facts, host) {
                Some(reason) => (format!("generic XDP ({reason})"), "copy mode".to_owned()),
                None => (native(facts, host).to_owned(), bind(facts, host)),
            };
            let cores = facts.queues.min(host.cores);
            let count = |number, what| counted(number as usize, what);
            format!("{mode}; {bind}; {} on {}", count(facts.queues, "queue"), count(cores, "core"))
        }
    };
    Check::info(OUTLOOK, found)
}

fn sockets_only(facts: &Facts, host: &Host) -> Option<String> {
    let missing = host.missing_capabilities();
    if facts.interface.loopback || !facts.interface.ethernet {
        Some("it is no Ethernet".into())
    } else if !host.ebpf_object {
        Some("the XDP program is not built in".into())
    } else if !missing.is_empty() {
        Some(format!("this process lacks {}", missing.join(", ")))
    } else if !facts.interface.up {
        Some("the interface is down".into())
    } else if matches!(facts.kind(), Some("bond" | "team")) {
        Some("AF_XDP sockets must sit on the members".into())
    } else {
        let attached = facts.interface.xdp?;
        let holder = facts.holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default();
        Some(format!("XDP program {} is attached{holder}", attached.program_id))
    }
}

fn generic_only(facts: &Facts, host: &Host) -> Option<String> {
    if let Some(kind @ ("vlan" | "bridge" | "macvlan" | "ipvlan" | "dummy")) = facts.kind() {
        return Some(format!("a {kind} has no native XDP"));
    }
    let without = match facts.xdp {
        Some(xdp) => !(xdp.basic() && xdp.redirect()),
        // Before Linux 6.3 the kernel does not tell.
        None => in_table(facts, host) == Some(false),
    };
    if without {
        return Some("the driver has no native XDP".into());
    }
    facts.multi_buffer(host).err().map(str::to_owned)
}

/// What the table of drivers says of native XDP here.
fn in_table(facts: &Facts, host: &Host) -> Option<bool> {
    drivers::native(facts.driver.as_deref()?, host.kernel)
}

fn native(facts: &Facts, host: &Host) -> &'static str {
    if facts.xdp.is_none() && in_table(facts, host) != Some(true) {
        "native XDP if the driver has it, else generic"
    } else if facts.has_feature("rx-lro") || facts.has_feature("rx-gro-hw") {
        "native XDP unless the driver refuses it for coalescing, then generic"
    } else {
        "native XDP"
    }
}

fn bind(facts: &Facts, host: &Host) -> String {
    let Some(driver) = facts.driver.as_deref() else { return "copy mode (unknown driver)".into() };
    match zero_copy(driver, host.kernel) {
        _ if facts.xdp.is_some_and(|xdp| !xdp.zero_copy()) => {
            format!("copy mode ({driver} has no zero-copy here)")
        }
        ZeroCopy::Trusted if facts.interface.mtu > FRAME_MTU => {
            "zero-copy unless the MTU hinders it, then copy mode".into()
        }
        ZeroCopy::Trusted => "zero-copy, or copy mode where the bind is refused".into(),
        ZeroCopy::Untrusted(reason) => {
            format!(
                "copy mode (zero-copy of {driver} is not trusted: {reason}; --bind-mode zero-copy forces it)"
            )
        }
        ZeroCopy::Unsupported(reason) => format!("copy mode ({driver} has no zero-copy: {reason})"),
    }
}

#[cfg(test)]
mod tests;
