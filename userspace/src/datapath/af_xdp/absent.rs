//! AF_XDP in a build without the feature `af-xdp`: no path ever starts, so [`AfXdp`] has no value.

mod kernel_answers;
mod mode;
#[expect(dead_code, reason = "no path starts, so none reads its request")]
mod request;

pub(crate) use kernel_answers::{
    ANSWERS_RUNG, AnswerDecision, decide_by_default, no_kernel_answers, pinned_kernel_answers,
};
pub use mode::{BindMode, XdpMode};
pub(crate) use request::{AfXdpRequest, EndedQueue, ServedQueue, TakenOverLink};

use super::{InheritedLink, StepDown};
use crate::config::KernelAnswersArg;
use crate::error::{Failure, Result};
use crate::interface::Interface;
use std::sync::Arc;
use xstun_core::classify::Verdict;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::Policy;
use xstun_ebpf::loss::DriverLoss;

/// Whether this binary contains the eBPF object.
pub(crate) const fn object_present() -> bool {
    false
}

/// An interface that is served over AF_XDP: there is none.
pub(crate) enum AfXdp {}

impl AfXdp {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn start(
        _interface: Interface,
        _request: &AfXdpRequest<'_>,
        _taken_over: Option<TakenOverLink<'_>>,
    ) -> Result<Self> {
        Err(Failure::system("this xstun was built without AF_XDP")
            .of("--datapath")
            .remedy("build it with the feature `af-xdp`, or use --datapath socket"))
    }

    pub(crate) fn update(&mut self, _interface: Interface, _now: Served) -> Result<()> {
        match *self {}
    }

    pub(crate) fn is_incomplete(&self) -> bool {
        match *self {}
    }

    pub(crate) fn prepare_answers(&mut self, _wanted: KernelAnswersArg, _policy: &Policy) -> Result<()> {
        match *self {}
    }

    pub(crate) fn restore_answers(&mut self) {
        match *self {}
    }

    pub(crate) fn adopt_answers(&mut self, _wanted: KernelAnswersArg) {
        match *self {}
    }

    pub(crate) fn kernel_answers(&self) -> AnswerDecision {
        match *self {}
    }

    pub(crate) fn kernel_outcomes(&self) -> Result<[u64; Outcome::COUNT]> {
        match *self {}
    }

    pub(crate) fn reap(&mut self) -> Vec<(u32, Failure)> {
        match *self {}
    }

    pub(crate) fn step_down(&mut self) {
        match *self {}
    }

    pub(crate) fn has_stepped_down(&self) -> bool {
        match *self {}
    }

    pub(crate) fn program_id(&self) -> u32 {
        match *self {}
    }

    pub(crate) fn duplicate_link(&self) -> Result<Option<InheritedLink>> {
        match *self {}
    }

    pub(crate) fn close_queues(&mut self) {
        match *self {}
    }

    pub(crate) fn restore(&mut self) -> Result<()> {
        match *self {}
    }

    pub(crate) fn interface(&self) -> &Interface {
        match *self {}
    }

    pub(crate) fn mode(&self) -> XdpMode {
        match *self {}
    }

    pub(crate) fn served(&self) -> Arc<Served> {
        match *self {}
    }

    pub(crate) fn queues(&self) -> std::iter::Empty<ServedQueue<'_>> {
        match *self {}
    }

    pub(crate) fn ended(&self) -> &[EndedQueue] {
        match *self {}
    }

    pub(crate) fn step_downs(&self) -> &[StepDown] {
        match *self {}
    }

    pub(crate) fn verdicts(&self) -> Result<[u64; Verdict::COUNT]> {
        match *self {}
    }

    pub(crate) fn reception(&self) -> (bool, Option<u64>) {
        match *self {}
    }

    pub(crate) fn ask_neighbours(&self) -> usize {
        match *self {}
    }

    pub(crate) fn is_zero_copy(&self) -> bool {
        match *self {}
    }

    pub(crate) fn leave_zero_copy(&mut self) -> Result<Vec<StepDown>> {
        match *self {}
    }

    pub(crate) fn detach(&mut self) {
        match *self {}
    }

    pub(crate) fn leave_answers(&mut self, _why: impl Into<String>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn has_left_answers(&self) -> bool {
        match *self {}
    }

    pub(crate) fn try_answers_again(&mut self) -> Result<()> {
        match *self {}
    }

    pub(crate) fn driver_errors(&self) -> Option<u64> {
        match *self {}
    }

    pub(crate) fn losses(&self) -> Option<[u64; DriverLoss::COUNT]> {
        match *self {}
    }

    pub(crate) fn uncounted_losses(&self) -> Option<&Failure> {
        match *self {}
    }

    pub(crate) fn flush_log(&mut self) {
        match *self {}
    }
}
