//! How `xstun serve` would serve an interface, without trying it.

use super::check::{Check, PREDICTION};
use super::facts::{FRAME_MTU, InterfaceFacts};
use super::host::HostFacts;
use crate::datapath::af_xdp::{AnswerDecision, BindMode, XdpMode, decide_by_default};
use crate::datapath::drivers::{self, DriverTrust, no_busy_poll, zero_copy};
use crate::output::counted;

/// Returns one line: XDP mode, copy mode or zero-copy, queues, and who answers plain requests; or why only sockets
/// would serve.
pub(super) fn predict(facts: &InterfaceFacts, host: &HostFacts) -> Check {
    let found = match sockets_only(facts, host) {
        Some(reason) => format!("sockets only: {reason}"),
        None => {
            let (mode, bind) = match generic_only(facts, host) {
                Some(reason) => (format!("generic XDP ({reason})"), "copy mode".to_owned()),
                None => (native(facts, host).to_owned(), bind_mode(facts, host)),
            };
            let queues = counted(facts.queues.into(), "queue");
            let cores = counted(facts.queues.min(host.cores).into(), "core");
            let plain = if kernel_answers(facts, host).on { "the XDP program" } else { "the workers" };
            format!("{mode}; {bind}; {queues} on {cores}; plain requests answered by {plain}")
        }
    };
    Check::info(PREDICTION, found)
}

/// Returns whether the XDP program would answer plain requests, and what to do if that could be better. `None` if only
/// sockets would serve.
pub(super) fn check_kernel_answers(facts: &InterfaceFacts, host: &HostFacts) -> Option<Check> {
    const CHECK: &str = "kernel answers";
    if sockets_only(facts, host).is_some() {
        return None;
    }
    let decision = kernel_answers(facts, host);
    let check = Check::info(CHECK, decision.to_string());
    Some(match facts.driver.as_deref() {
        _ if decision.on || predicted_bind(facts, host) == BindMode::ZeroCopy => check,
        Some("veth") => check.fix(
            "if the other end of the pair runs an XDP program (one that passes is enough): xstun serve \
             --kernel-answers on",
        ),
        _ => check.fix(
            "xstun serve --kernel-answers on uses it anyway; measure with xstun load before you rely on it",
        ),
    })
}

/// Returns the decision of `--kernel-answers auto`, if the predicted modes are those that serve.
fn kernel_answers(facts: &InterfaceFacts, host: &HostFacts) -> AnswerDecision {
    let mode = if generic_only(facts, host).is_some() { XdpMode::Generic } else { XdpMode::Native };
    let driver = facts.driver.as_deref().unwrap_or_default();
    decide_by_default(driver, host.kernel, mode, predicted_bind(facts, host))
}

fn predicted_bind(facts: &InterfaceFacts, host: &HostFacts) -> BindMode {
    let native = generic_only(facts, host).is_none();
    let trusted =
        facts.driver.as_deref().is_some_and(|driver| zero_copy(driver, host.kernel) == DriverTrust::Trusted);
    let offered = facts.xdp.is_none_or(|xdp| xdp.zero_copy());
    if native && trusted && offered { BindMode::ZeroCopy } else { BindMode::Copy }
}

/// Returns why AF_XDP cannot serve the interface, if so.
fn sockets_only(facts: &InterfaceFacts, host: &HostFacts) -> Option<String> {
    let missing = host.missing_capabilities();
    if facts.interface.loopback || !facts.interface.ethernet {
        Some("not an Ethernet interface".into())
    } else if !host.ebpf_object {
        Some("the XDP program is not built in".into())
    } else if !missing.is_empty() {
        Some(format!("this process lacks {}", missing.join(", ")))
    } else if !facts.interface.up {
        Some("the interface is down".into())
    } else if matches!(facts.kind(), Some("bond" | "team")) {
        Some("AF_XDP sockets must be bound to the members".into())
    } else {
        let attached = facts.interface.xdp?;
        let holder = facts.holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default();
        Some(format!("XDP program {} is attached{holder}", attached.program_id))
    }
}

/// Returns why native XDP cannot serve the interface, if so.
fn generic_only(facts: &InterfaceFacts, host: &HostFacts) -> Option<String> {
    if let Some(kind @ ("vlan" | "bridge" | "macvlan" | "ipvlan" | "dummy")) = facts.kind() {
        return Some(format!("a {kind} has no native XDP"));
    }
    let no_native = match facts.xdp {
        Some(xdp) => !(xdp.basic() && xdp.redirect()),
        // Before Linux 6.3 the kernel does not report XDP features.
        None => native_by_table(facts, host) == Some(false),
    };
    if no_native {
        return Some("the driver has no native XDP".into());
    }
    facts.multi_buffer(host).err().map(str::to_owned)
}

/// Returns whether the driver table lists native XDP for this driver and kernel.
fn native_by_table(facts: &InterfaceFacts, host: &HostFacts) -> Option<bool> {
    drivers::native(facts.driver.as_deref()?, host.kernel)
}

fn native(facts: &InterfaceFacts, host: &HostFacts) -> &'static str {
    if facts.xdp.is_none() && native_by_table(facts, host) != Some(true) {
        "native XDP if the driver has it, else generic"
    } else if facts.has_feature("rx-lro") || facts.has_feature("rx-gro-hw") {
        "native XDP unless the driver refuses it for coalescing, then generic"
    } else {
        "native XDP"
    }
}

fn bind_mode(facts: &InterfaceFacts, host: &HostFacts) -> String {
    let Some(driver) = facts.driver.as_deref() else { return "copy mode (unknown driver)".into() };
    match zero_copy(driver, host.kernel) {
        _ if facts.xdp.is_some_and(|xdp| !xdp.zero_copy()) => {
            format!("copy mode ({driver} has no zero-copy here)")
        }
        DriverTrust::Trusted if facts.interface.mtu > FRAME_MTU => {
            "zero-copy unless the MTU prevents it, then copy mode".into()
        }
        DriverTrust::Trusted => match no_busy_poll(driver) {
            None => "zero-copy, or copy mode if the bind is refused".into(),
            Some(reason) => {
                format!("zero-copy, or copy mode if the bind is refused or with --busy-poll ({reason})")
            }
        },
        DriverTrust::Untrusted(reason) => {
            format!(
                "copy mode (zero-copy of {driver} is not trusted: {reason}; --bind-mode zero-copy forces it)"
            )
        }
        DriverTrust::Unsupported(reason) => format!("copy mode ({driver} has no zero-copy: {reason})"),
    }
}

#[cfg(test)]
mod tests;
