//! Kernel answers of one interface: whether its XDP program answers plain requests, and at which endpoints.

use super::AfXdp;
use super::kernel_answers::{
    ANSWERS_RUNG, AnswerDecision, AnswerFacts, decide, no_kernel_answers, pinned_kernel_answers,
};
use super::program::Permissions;
use super::{BindMode, XdpMode};
use crate::config::{BindModeArg, FixedConfig, KernelAnswersArg};
use crate::datapath::step_down::StepDown;
use crate::error::{Failure, Result};
use crate::interface::{self, DriverCounters};
use crate::kernel;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::{Permission, Policy};

/// What decides on the kernel answers of an interface, and the decision.
pub(super) struct KernelAnswers {
    wanted: KernelAnswersArg,
    /// How the operator wants the queues bound, once that is known.
    bind_mode: BindModeArg,
    /// How the queues were bound last. A queue that is closed since then, for a successor or with its worker, counts
    /// as before: the program stays, and what it answers still leaves by the same queues of the driver.
    bound: Vec<BindMode>,
    /// Why the program cannot answer: the kernel refused the larger one.
    incapable: Option<String>,
    /// Why the rung was left while the server serves: until the option changes, or the rung is tried again.
    left: Option<String>,
    /// Replies that the driver had failed to send before, by its own counters.
    errors_before: u64,
    decision: AnswerDecision,
}

impl KernelAnswers {
    /// Begins without answers.
    pub(super) fn new(wanted: KernelAnswersArg) -> Self {
        let decision = AnswerDecision::off("no queue is bound yet");
        let bind_mode = BindModeArg::Auto;
        let bound = Vec::new();
        KernelAnswers { wanted, bind_mode, bound, incapable: None, left: None, errors_before: 0, decision }
    }

    /// Records that the kernel refused the program that can answer. Returns the step down; `None` with
    /// `--kernel-answers off`, which does not want that rung.
    ///
    /// # Errors
    /// `--kernel-answers on` pins the rung.
    pub(super) fn refused(&mut self, interface: &str, refusal: Failure) -> Result<Option<StepDown>> {
        let step_down = StepDown::new(ANSWERS_RUNG, &refusal);
        self.incapable = Some(step_down.reason.clone());
        match self.wanted {
            KernelAnswersArg::On => {
                Err(pinned_kernel_answers(interface, refusal).or_remedy("use --kernel-answers auto"))
            }
            KernelAnswersArg::Auto => Ok(Some(step_down)),
            KernelAnswersArg::Off => Ok(None),
        }
    }

    /// Records that there is no program any more that could answer.
    pub(super) fn end(&mut self, why: &str) {
        self.incapable = Some(why.to_owned());
        self.decision = AnswerDecision::off(why);
    }

    /// The decision in force.
    pub(super) fn decision(&self) -> &AnswerDecision {
        &self.decision
    }
}

/// Returns the permission of each endpoint: what `policy` allows there if the program answers at all.
pub(super) fn permissions(served: &Served, policy: &Policy, answers: bool) -> Permissions {
    let permission = |address| if answers { policy.permission(&address) } else { Permission::REDIRECT };
    served.endpoints().iter().copied().zip(served.addresses().into_iter().map(permission)).collect()
}

impl AfXdp {
    /// Decides on kernel answers and grants the permissions. Call it when the queues serve.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn begin_answers(&mut self, config: &FixedConfig) -> Result<()> {
        self.answers.bind_mode = config.bind_mode;
        self.answers.errors_before = self.driver_counter().unwrap_or_default();
        self.answer_as_bound()
    }

    /// Decides on kernel answers by the queues, which were just bound, and grants or withdraws the permissions.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(super) fn answer_as_bound(&mut self) -> Result<()> {
        self.answers.bound = self.queues.iter().map(|queue| queue.mode).collect();
        self.decide_answers_again()
    }

    fn decide_answers_again(&mut self) -> Result<()> {
        self.answers.decision = self.decide_answers(self.answers.wanted);
        self.grant_answers()
    }

    /// Leaves every request to the workers, until [`AfXdp::try_answers_again`] or another value of
    /// `--kernel-answers`.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(crate) fn leave_answers(&mut self, why: impl Into<String>) -> Result<()> {
        self.answers.left = Some(why.into());
        self.decide_answers_again()
    }

    /// Whether every request is left to the workers since [`AfXdp::leave_answers`].
    pub(crate) fn has_left_answers(&self) -> bool {
        self.answers.left.is_some()
    }

    /// Decides on kernel answers as if they had not been left.
    ///
    /// # Errors
    /// The kernel refused a map update.
    pub(crate) fn try_answers_again(&mut self) -> Result<()> {
        self.answers.left = None;
        self.decide_answers_again()
    }

    /// Withdraws, before a new policy and a new value of `--kernel-answers` are adopted, each permission that these
    /// do not give: from here on the program answers only what both the old and the new ones allow, and redirects the
    /// rest to the workers. [`AfXdp::adopt_answers`] and [`AfXdp::update`] grant what they add.
    ///
    /// # Errors
    /// The program cannot answer, which `on` requires; or the kernel refused a map update. The old permissions are in
    /// force.
    pub(crate) fn prepare_answers(&mut self, wanted: KernelAnswersArg, policy: &Policy) -> Result<()> {
        if let (KernelAnswersArg::On, Some(why)) = (wanted, &self.answers.incapable) {
            return Err(no_kernel_answers(&self.interface.name, why));
        }
        let on = self.decide_answers(wanted).on;
        let withdrawn = self.program.withdraw(&permissions(&self.served.load(), policy, on));
        if withdrawn.is_err() {
            self.restore_answers();
        }
        withdrawn
    }

    /// Grants again what [`AfXdp::prepare_answers`] withdrew, since the change is not adopted.
    pub(crate) fn restore_answers(&mut self) {
        if let Err(failure) = self.grant_answers() {
            tracing::warn!(interface = self.interface.name, "not all kernel answers are restored: {failure}");
        }
    }

    /// Adopts a value of `--kernel-answers`; [`AfXdp::update`] then grants the permissions.
    pub(crate) fn adopt_answers(&mut self, wanted: KernelAnswersArg) {
        if wanted != self.answers.wanted {
            self.answers.left = None;
        }
        self.answers.wanted = wanted;
        self.answers.decision = self.decide_answers(wanted);
    }

    /// Whether the program answers plain requests, and why.
    pub(crate) fn kernel_answers(&self) -> AnswerDecision {
        let decision = self.answers.decision();
        if decision.on && !self.program.is_complete() && !self.program.answers() {
            return AnswerDecision::off("the kernel refused an update of the XDP program's maps");
        }
        if decision.on && !self.program.answers() {
            return AnswerDecision::off("no address has the plain policy");
        }
        decision.clone()
    }

    /// How the requests ended that the program answered, in the order of [`Outcome::ALL`].
    ///
    /// # Errors
    /// The kernel refused to read the map.
    pub(crate) fn kernel_outcomes(&self) -> Result<[u64; Outcome::COUNT]> {
        self.program.outcomes()
    }

    /// How many replies of the program the driver failed to send since the start, by its own counters. `None` if it
    /// has none, or if the replies do not go through them.
    pub(crate) fn driver_errors(&self) -> Option<u64> {
        self.driver_counter().map(|errors| errors.saturating_sub(self.answers.errors_before))
    }

    fn driver_counter(&self) -> Option<u64> {
        (self.mode == XdpMode::Native).then(|| DriverCounters::read(&self.interface)?.transmit_errors())?
    }

    fn decide_answers(&self, wanted: KernelAnswersArg) -> AnswerDecision {
        if let (true, Some(why)) = (wanted != KernelAnswersArg::Off, &self.answers.incapable) {
            return AnswerDecision::off(why.clone());
        }
        if let (true, Some(why)) = (wanted == self.answers.wanted, &self.answers.left) {
            return AnswerDecision::off(why.clone());
        }
        let driver = interface::driver(&self.interface).unwrap_or_default();
        let facts = AnswerFacts {
            driver: &driver,
            kernel: kernel::running(),
            mode: self.mode,
            bound: &self.answers.bound,
            bind_mode: self.answers.bind_mode,
        };
        decide(wanted, &facts)
    }

    fn grant_answers(&mut self) -> Result<()> {
        let on = self.answers.decision.on;
        self.program.permit(&permissions(&self.served.load(), &self.policy.load(), on))
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWERS_RUNG, KernelAnswers};
    use crate::config::KernelAnswersArg;
    use crate::error::{Failure, FailureKind};

    #[test]
    fn a_refused_program_is_a_step_down_unless_a_flag_pins_the_rung() {
        let refusal = || Failure::system("cannot load the XDP program: the verifier says 'no'");
        let step_down =
            KernelAnswers::new(KernelAnswersArg::Auto).refused("eth0", refusal()).unwrap().unwrap();
        assert_eq!((step_down.from, step_down.reason), (ANSWERS_RUNG.to_owned(), refusal().to_string()));
        let off = KernelAnswers::new(KernelAnswersArg::Off).refused("eth0", refusal()).unwrap();
        assert_eq!(off, None, "the operator does not want the rung");
        let failure = KernelAnswers::new(KernelAnswersArg::On).refused("eth0", refusal()).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::System);
        assert_eq!(failure.options()[0].flag, "--kernel-answers");
        let text = failure.to_string();
        assert!(text.starts_with("--kernel-answers on is not available on eth0: cannot load"), "{text}");
    }
}
