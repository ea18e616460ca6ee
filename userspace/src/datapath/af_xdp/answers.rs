//! Kernel answers of one interface: whether its XDP program answers plain requests, and at which endpoints.

use super::AfXdp;
use super::kernel_answers::{AnswerDecision, AnswerFacts, decide, no_kernel_answers};
use super::program::Permissions;
use crate::config::{BindModeArg, FixedConfig, KernelAnswersArg};
use crate::datapath::step_down::StepDown;
use crate::error::{Failure, Result};
use crate::interface;
use crate::kernel;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::{Permission, Policy};

/// The rung's name in step downs.
const RUNG: &str = "kernel-answers";

/// What decides on the kernel answers of an interface, and the decision.
pub(super) struct KernelAnswers {
    wanted: KernelAnswersArg,
    /// How the operator wants the queues bound, once that is known.
    bind_mode: BindModeArg,
    /// Why the program cannot answer: the kernel refused the larger one.
    incapable: Option<String>,
    decision: AnswerDecision,
}

impl KernelAnswers {
    /// Begins without answers.
    pub(super) fn new(wanted: KernelAnswersArg) -> Self {
        let decision = AnswerDecision::off("no queue is bound yet");
        KernelAnswers { wanted, bind_mode: BindModeArg::Auto, incapable: None, decision }
    }

    /// Records that the kernel refused the program that can answer. Returns the step down.
    ///
    /// # Errors
    /// `--kernel-answers on` pins the rung.
    pub(super) fn refused(&mut self, interface: &str, refusal: Failure) -> Result<StepDown> {
        let step_down = StepDown::new(RUNG, &refusal);
        self.incapable = Some(step_down.reason.clone());
        match self.wanted {
            KernelAnswersArg::On => Err(no_kernel_answers(interface, &step_down.reason)),
            KernelAnswersArg::Auto | KernelAnswersArg::Off => Ok(step_down),
        }
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
        self.answers.decision = self.decide_answers(self.answers.wanted);
        self.grant_answers()
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
        self.answers.wanted = wanted;
        self.answers.decision = self.decide_answers(wanted);
    }

    /// Whether the program answers plain requests, and why.
    pub(crate) fn kernel_answers(&self) -> AnswerDecision {
        let decision = self.answers.decision();
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

    fn decide_answers(&self, wanted: KernelAnswersArg) -> AnswerDecision {
        if let (true, Some(why)) = (wanted != KernelAnswersArg::Off, &self.answers.incapable) {
            return AnswerDecision::off(why.clone());
        }
        let driver = interface::driver(&self.interface).unwrap_or_default();
        let bound: Vec<_> = self.queues.iter().map(|queue| queue.mode).collect();
        let facts = AnswerFacts {
            driver: &driver,
            kernel: kernel::running(),
            mode: self.mode,
            bound: &bound,
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
    use super::{KernelAnswers, RUNG};
    use crate::config::KernelAnswersArg;
    use crate::error::{Failure, FailureKind};

    #[test]
    fn a_refused_program_is_a_step_down_unless_a_flag_pins_the_rung() {
        let refusal = || Failure::system("cannot load the XDP program: the verifier says 'no'");
        for wanted in [KernelAnswersArg::Auto, KernelAnswersArg::Off] {
            let step_down = KernelAnswers::new(wanted).refused("eth0", refusal()).unwrap();
            assert_eq!(
                (step_down.from, step_down.reason),
                (RUNG.to_owned(), refusal().to_string()),
                "{wanted:?}"
            );
        }
        let failure = KernelAnswers::new(KernelAnswersArg::On).refused("eth0", refusal()).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::System);
        assert_eq!(failure.options()[0].flag, "--kernel-answers");
        let text = failure.to_string();
        assert!(text.starts_with("--kernel-answers on is not available on eth0: cannot load"), "{text}");
    }
}
