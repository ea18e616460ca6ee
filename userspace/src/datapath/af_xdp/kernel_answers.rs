//! Decides whether the XDP program of an interface answers plain requests by itself (kernel answers), or leaves
//! all of them to the workers.
#![cfg_attr(not(feature = "af-xdp"), allow(dead_code, reason = "without AF_XDP no program is ever attached"))]

use super::mode::{BindMode, XdpMode};
use crate::config::{BindModeArg, KernelAnswersArg};
use crate::datapath::drivers::{self, DriverTrust};
use crate::error::Failure;
use std::fmt;

/// The rung's name in step downs.
pub(crate) const ANSWERS_RUNG: &str = "kernel-answers";

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerFacts<'a> {
    /// Name of the driver in sysfs, or kind of a virtual interface.
    pub(crate) driver: &'a str,
    /// Major and minor version of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Where the program runs.
    pub(crate) mode: XdpMode,
    /// How the queues are bound.
    pub(crate) bound: &'a [BindMode],
    /// How the operator wants them bound.
    pub(crate) bind_mode: BindModeArg,
}

/// Whether the XDP program answers plain requests, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerDecision {
    /// Whether it does.
    pub(crate) on: bool,
    /// The reason, as part of a sentence.
    pub(crate) why: String,
}

impl AnswerDecision {
    fn on(why: impl Into<String>) -> Self {
        AnswerDecision { on: true, why: why.into() }
    }

    /// A decision for the workers, with its reason.
    pub(crate) fn off(why: impl Into<String>) -> Self {
        AnswerDecision { on: false, why: why.into() }
    }
}

impl fmt::Display for AnswerDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.on { "on" } else { "off" }, self.why)
    }
}

/// The failure of `--kernel-answers on` where the XDP program of this interface cannot answer.
pub(crate) fn no_kernel_answers(interface: &str, why: impl fmt::Display) -> Failure {
    Failure::system(format!("--kernel-answers on is not available on {interface}"))
        .of_value("--kernel-answers", "on")
        .because(why.to_string())
        .remedy("use --kernel-answers auto")
}

/// Decides for one interface to which a program that can answer is attached.
///
/// With zero-copy, XDP_TX copies each reply to a new page, which the worker does not need; in copy mode and in
/// generic mode, a redirected frame is copied twice, which XDP_TX does not need. In native mode the reply leaves by a
/// function of the driver: see [`drivers`]. In generic mode it leaves as the stack's packets do.
pub(crate) fn decide(wanted: KernelAnswersArg, facts: &AnswerFacts<'_>) -> AnswerDecision {
    match wanted {
        KernelAnswersArg::On => AnswerDecision::on("--kernel-answers on"),
        KernelAnswersArg::Off => AnswerDecision::off("--kernel-answers off"),
        KernelAnswersArg::Auto if facts.mode == XdpMode::Generic => {
            AnswerDecision::on("generic mode transmits without the driver")
        }
        KernelAnswersArg::Auto => native(facts),
    }
}

/// Decides as `--kernel-answers auto` does, for queues that the operator lets bind as they can.
pub(crate) fn decide_by_default(
    driver: &str,
    kernel: (u32, u32),
    mode: XdpMode,
    bound: BindMode,
) -> AnswerDecision {
    let bind_mode = BindModeArg::Auto;
    decide(KernelAnswersArg::Auto, &AnswerFacts { driver, kernel, mode, bound: &[bound], bind_mode })
}

/// Decides for native mode.
fn native(facts: &AnswerFacts<'_>) -> AnswerDecision {
    let AnswerFacts { driver, kernel, mode: _, bound, bind_mode } = *facts;
    if bound.contains(&BindMode::ZeroCopy) {
        return AnswerDecision::off("zero-copy serves");
    }
    // Trusted zero-copy that was refused, or that --busy-poll rules out, is none.
    if bind_mode == BindModeArg::Copy && drivers::zero_copy(driver, kernel) == DriverTrust::Trusted {
        return AnswerDecision::off(format!("{driver} has zero-copy, which --bind-mode copy rules out"));
    }
    match drivers::xdp_tx(driver, kernel) {
        DriverTrust::Trusted => {
            AnswerDecision::on(format!("copy mode, and the XDP_TX of {driver} is trusted"))
        }
        DriverTrust::Untrusted(why) | DriverTrust::Unsupported(why) if driver.is_empty() => {
            AnswerDecision::off(format!("the driver is unknown: {why}"))
        }
        DriverTrust::Untrusted(why) | DriverTrust::Unsupported(why) => {
            AnswerDecision::off(format!("the XDP_TX of {driver} is not trusted: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AnswerFacts, decide};
    use crate::config::BindModeArg;
    use crate::config::KernelAnswersArg::{self, Auto, Off, On};
    use crate::datapath::af_xdp::mode::BindMode::{self, Copy, ZeroCopy};
    use crate::datapath::af_xdp::mode::XdpMode::{self, Generic, Native};

    /// Driver, kernel, modes, bound queues, `--bind-mode`, `--kernel-answers`; the decision and part of its reason.
    type Row = (
        (&'static str, (u32, u32)),
        (XdpMode, &'static [BindMode], BindModeArg),
        KernelAnswersArg,
        (bool, &'static str),
    );

    const ROWS: &[Row] = &[
        // Native mode, copy: the driver table decides.
        (
            ("ena", (6, 12)),
            (Native, &[Copy, Copy], BindModeArg::Auto),
            Auto,
            (true, "XDP_TX of ena is trusted"),
        ),
        (("vmxnet3", (6, 18)), (Native, &[Copy], BindModeArg::Auto), Auto, (true, "XDP_TX of vmxnet3")),
        (("gve", (6, 6)), (Native, &[Copy], BindModeArg::Auto), Auto, (false, "#59")),
        (
            ("ice", (6, 18)),
            (Native, &[Copy], BindModeArg::Auto),
            Auto,
            (false, "XDP_TX of ice is not trusted"),
        ),
        (("unheard_of", (6, 18)), (Native, &[Copy], BindModeArg::Auto), Auto, (false, "no report")),
        (("", (6, 18)), (Native, &[Copy], BindModeArg::Auto), Auto, (false, "the driver is unknown")),
        (("veth", (6, 18)), (Native, &[Copy], BindModeArg::Auto), Auto, (false, "the other end")),
        // Zero-copy: one queue is enough, whatever the driver.
        (
            ("virtio_net", (6, 18)),
            (Native, &[ZeroCopy], BindModeArg::Auto),
            Auto,
            (false, "zero-copy serves"),
        ),
        (("virtio_net", (6, 18)), (Native, &[Copy, ZeroCopy], BindModeArg::Auto), Auto, (false, "zero-copy")),
        (("ena", (6, 18)), (Native, &[ZeroCopy], BindModeArg::ZeroCopy), Auto, (false, "zero-copy serves")),
        // Trusted, but refused at the bind, as by virtio_net without iommu_platform=on.
        (("virtio_net", (6, 18)), (Native, &[Copy], BindModeArg::Auto), Auto, (true, "copy mode")),
        // Trusted, but ruled out by the operator.
        (("mlx5_core", (6, 12)), (Native, &[Copy], BindModeArg::Copy), Auto, (false, "--bind-mode copy")),
        (("mlx5_core", (5, 15)), (Native, &[Copy], BindModeArg::Copy), Auto, (true, "XDP_TX of mlx5_core")),
        // Generic mode: on everywhere, on veth too.
        (("veth", (6, 18)), (Generic, &[Copy], BindModeArg::Auto), Auto, (true, "generic")),
        (("e1000e", (6, 1)), (Generic, &[Copy], BindModeArg::Auto), Auto, (true, "generic")),
        (("mlx5_core", (6, 12)), (Generic, &[Copy], BindModeArg::Copy), Auto, (true, "generic")),
        // `on` and `off` ask nothing.
        (("veth", (6, 18)), (Native, &[Copy], BindModeArg::Auto), On, (true, "--kernel-answers on")),
        (
            ("virtio_net", (6, 18)),
            (Native, &[ZeroCopy], BindModeArg::Auto),
            On,
            (true, "--kernel-answers on"),
        ),
        (("", (5, 15)), (Native, &[Copy], BindModeArg::Copy), On, (true, "--kernel-answers on")),
        (("ena", (6, 12)), (Native, &[Copy], BindModeArg::Auto), Off, (false, "--kernel-answers off")),
        (("veth", (6, 18)), (Generic, &[Copy], BindModeArg::Auto), Off, (false, "--kernel-answers off")),
    ];

    #[test]
    fn each_case_is_decided_with_its_reason() {
        for &((driver, kernel), (mode, bound, bind_mode), wanted, (on, why)) in ROWS {
            let decision = decide(wanted, &AnswerFacts { driver, kernel, mode, bound, bind_mode });
            let case =
                format!("{driver} {kernel:?} {mode:?} {bound:?} {bind_mode:?} {wanted:?}: {decision:?}");
            assert_eq!(decision.on, on, "{case}");
            assert!(decision.why.contains(why), "{case} has no '{why}'");
        }
    }
}
