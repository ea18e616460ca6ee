//! Decides whether the XDP program of an interface answers plain requests by itself (kernel answers), or leaves
//! all of them to the workers.
#![cfg_attr(not(feature = "af-xdp"), allow(dead_code, reason = "without AF_XDP no program is ever attached"))]

use super::mode::{BindMode, XdpMode};
use crate::config::{BindModeArg, KernelAnswersArg};
use crate::datapath::drivers::{self, DriverTrust};
use crate::error::{Failure, FailureKind};
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

/// Names `--kernel-answers on` in a failure without which the XDP program of this interface would answer. Its cause
/// and its remedy stay.
pub(crate) fn pinned_kernel_answers(interface: &str, failure: Failure) -> Failure {
    const FLAG: &str = "--kernel-answers";
    if failure.kind() == FailureKind::Usage || failure.options().iter().any(|option| option.flag == FLAG) {
        return failure;
    }
    failure.at(format!("{FLAG} on is not available on {interface}")).of_value(FLAG, "on")
}

/// Decides for one interface to which a program that can answer is attached.
///
/// With zero-copy, XDP_TX copies each reply to a new page, which the worker does not need; in copy mode and in
/// generic mode, a redirected frame is copied twice, which XDP_TX does not need. In native mode the reply leaves by a
/// function of the driver: see [`drivers`]. In generic mode it leaves as the stack's packets do.
pub(crate) fn decide(wanted: KernelAnswersArg, facts: &AnswerFacts<'_>) -> AnswerDecision {
    match wanted {
        KernelAnswersArg::Auto | KernelAnswersArg::On if facts.bound.is_empty() => {
            AnswerDecision::off("no queue is bound")
        }
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
    use super::{AnswerFacts, decide, no_kernel_answers, pinned_kernel_answers};
    use crate::config::BindModeArg;
    use crate::config::KernelAnswersArg::{self, Auto, Off, On};
    use crate::datapath::af_xdp::mode::BindMode::{self, Copy, ZeroCopy};
    use crate::datapath::af_xdp::mode::XdpMode::{self, Generic, Native};
    use crate::error::Failure;

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
        // Without a bound queue, whatever the driver and the option.
        (("ena", (6, 12)), (Native, &[], BindModeArg::Auto), Auto, (false, "no queue is bound")),
        (("e1000e", (6, 1)), (Generic, &[], BindModeArg::Auto), Auto, (false, "no queue is bound")),
        (("ena", (6, 12)), (Native, &[], BindModeArg::Auto), On, (false, "no queue is bound")),
        // `on` and `off` ask nothing else.
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

    #[test]
    fn a_pinned_failure_names_the_flag_once_and_keeps_cause_and_remedy() {
        let failure = Failure::system("cannot attach in native mode to eth0")
            .because(std::io::Error::from_raw_os_error(1))
            .remedy("run as root");
        let failure = pinned_kernel_answers("eth0", failure);
        let text = "--kernel-answers on is not available on eth0: cannot attach in native mode to eth0: \
                    Operation not permitted (os error 1); run as root";
        assert_eq!((failure.to_string(), failure.errno()), (text.to_owned(), Some(1)));
        assert_eq!(failure.options()[0].value.as_deref(), Some("on"));
        let again = pinned_kernel_answers("eth0", failure);
        assert_eq!((again.to_string().as_str(), again.options().len()), (text, 1));
        let usage = pinned_kernel_answers("eth0", Failure::usage("--queues 3: eth0 has 2"));
        assert_eq!(usage.to_string(), "--queues 3: eth0 has 2", "another option is wrong");
        let other = pinned_kernel_answers("eth0", no_kernel_answers("eth0", "loopback"));
        assert!(other.to_string().ends_with("loopback; use --kernel-answers auto"), "{other}");
    }
}
