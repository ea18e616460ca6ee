//! What starts an AF_XDP path, and what it reports of its queues.

use super::mode::BindMode;
use crate::config::{FixedConfig, KernelAnswersArg};
use crate::datapath::InheritedLink;
use crate::error::Result;
use crate::stats::WorkerStats;
use arc_swap::ArcSwap;
use std::sync::Arc;
use xstun_core::served::Served;
use xstun_core::stun::Policy;

/// What an AF_XDP path needs to start, beside the interface.
pub(crate) struct AfXdpRequest<'a> {
    /// The validated configuration.
    pub(crate) config: &'a FixedConfig,
    /// The endpoints to serve at first.
    pub(crate) served: Served,
    /// Whether the XDP program is to answer plain requests.
    pub(crate) kernel_answers: KernelAnswersArg,
    /// The policy, shared by all workers.
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    /// Cores for the queues, in the order of the queues; used again from the first where they are fewer.
    pub(crate) cores: &'a [usize],
}

/// An attachment that the predecessor hands over.
pub(crate) struct TakenOverLink<'a> {
    /// The attachment.
    pub(crate) link: InheritedLink,
    /// Makes the predecessor close its queues of the interface with this index.
    pub(crate) release: &'a mut dyn FnMut(u32) -> Result<()>,
}

/// A queue that is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedQueue<'a> {
    /// The queue's number.
    pub(crate) number: u32,
    /// The core that its worker is pinned to.
    pub(crate) core: usize,
    /// How its socket is bound.
    pub(crate) mode: BindMode,
    /// The worker's counters.
    pub(crate) stats: &'a Arc<WorkerStats>,
}

/// What is left of a queue whose worker ended: its counters stay part of every total.
pub(crate) struct EndedQueue {
    /// The queue's number.
    pub(crate) number: u32,
    /// The core that its worker was pinned to.
    pub(crate) core: usize,
    /// The worker's counters.
    pub(crate) stats: Arc<WorkerStats>,
}
