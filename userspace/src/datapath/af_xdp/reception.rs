//! What can be done about an interface on which nothing arrives after a bind.

use super::AfXdp;
use super::bind::QueuePlan;
use super::mode::BindMode;
use super::program::Permissions;
use super::queue::QueueThread;
use crate::datapath::StepDown;
use crate::error::{Failure, Result};
use crate::interface::DriverCounters;
use std::sync::Arc;

impl AfXdp {
    /// Whether the link is up, and how many frames the NIC has received by its own counter, if the driver has one.
    pub(crate) fn reception(&self) -> (bool, Option<u64>) {
        let counters = DriverCounters::read(&self.interface);
        (self.interface.running, counters.and_then(|counters| counters.received()))
    }

    /// Asks the neighbours that answered the kernel just before the bind for a frame, over the first queue. Returns
    /// their number; 0 also where no queue is bound in zero-copy.
    pub(crate) fn ask_neighbours(&self) -> usize {
        match self.queues.first() {
            Some(queue) if self.is_zero_copy() => {
                queue.outbox.put(self.solicitations.clone());
                self.solicitations.len()
            }
            _ => 0,
        }
    }

    /// Whether a queue is bound in zero-copy.
    pub(crate) fn is_zero_copy(&self) -> bool {
        self.queues.iter().any(|queue| queue.mode == BindMode::ZeroCopy)
    }

    /// Binds every queue again, in copy mode. The sockets receive what arrives meanwhile. Takes CAP_NET_RAW, and
    /// CAP_IPC_LOCK where locked memory is limited. Returns the queues that cannot be bound, which the sockets then
    /// serve for good.
    ///
    /// # Errors
    /// No queue can be bound, or the map refuses a socket; the program is detached then.
    pub(crate) fn leave_zero_copy(&mut self) -> Result<Vec<StepDown>> {
        let queues: Vec<(u32, usize)> = self.queues.iter().map(|queue| (queue.number, queue.core)).collect();
        for (number, _) in &queues {
            self.program.remove_socket(*number);
        }
        self.end_workers();
        let mut failures = Vec::new();
        for (number, core) in queues {
            let plan = QueuePlan {
                interface: self.interface.name.clone(),
                number,
                core,
                modes: vec![BindMode::Copy],
                busy_poll: self.busy_poll,
                vacated: true,
            };
            let (served, policy) = (Arc::clone(&self.served), Arc::clone(&self.policy));
            let start = |stats| QueueThread::start(plan, served, policy, stats);
            match self.ended.restart(number, start) {
                Ok(queue) => self.queues.push(queue),
                Err(failure) => failures.push(StepDown::new(format!("queue {number}"), &failure)),
            }
        }
        let entered = if self.queues.is_empty() {
            let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
            let what = format!("no queue of {} can be bound again", self.interface.name);
            Err(Failure::system(what).because(reasons.join("; ")))
        } else {
            self.enter_sockets().and_then(|()| self.answer_as_bound())
        };
        if entered.is_err() {
            self.detach();
        }
        entered.map(|()| failures)
    }

    /// Detaches the program and closes the queues, so that the kernel's stack has the interface as without XDP. What the
    /// program counted is complete then.
    pub(crate) fn detach(&mut self) {
        // While it is attached, the losses of what it has answered last are still known to be its own. If the kernel
        // refuses, the program answers until it is detached.
        let _ = self.program.permit(&Permissions::new());
        self.step_down();
        self.program.detach();
        self.answers.end("no XDP program is attached");
        self.end_workers();
        self.restore_napi();
    }
}
