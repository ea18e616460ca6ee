//! The generator over ordinary sockets: connected ones, shared out among the workers, in batches.

use super::checker::Checker;
use super::crew::Step;
use super::id::Stamp;
use super::plan::{Pace, Plan};
use super::tally::Tally;
use super::window::Window;
use crate::datapath::socket::{Batch, SIZE, Sent};
use crate::error::{Failure, Result};
use crate::stop::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::UdpSocket;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Batches from one port before the next has its turn.
const ROUNDS: usize = 4;
/// Longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_millis(10);
/// Sleep when the kernel takes no more requests for now.
const BREATH: Duration = Duration::from_micros(100);

/// One worker: some flows, each with its socket.
pub(super) struct Worker {
    plan: Arc<Plan>,
    /// Which worker this is, of how many.
    turn: usize,
    workers: usize,
    /// The plan's flows that are this worker's; `sockets` are theirs.
    flows: Range<usize>,
    sockets: Vec<UdpSocket>,
    /// The flow whose turn it is to send, counted from the worker's first.
    next_flow: usize,
    requests: Batch,
    replies: Batch,
    checker: Checker,
    window: Window,
    refusal: Option<io::Error>,
}

impl Worker {
    /// The `turn`-th of `workers`. `sockets` are connected and belong to the plan's flows `flows`.
    pub(super) fn new(
        plan: Arc<Plan>,
        turn: usize,
        workers: usize,
        flows: Range<usize>,
        sockets: Vec<UdpSocket>,
    ) -> Self {
        let checker = Checker::new(Arc::clone(&plan));
        Worker {
            plan,
            turn,
            workers,
            flows,
            sockets,
            next_flow: 0,
            requests: Batch::connected(),
            replies: Batch::connected(),
            checker,
            window: Window::default(),
            refusal: None,
        }
    }

    /// Sends until the step's stop is ordered, then waits for the last replies.
    ///
    /// # Errors
    /// The kernel does not let this thread wait.
    pub(super) fn step(&mut self, step: &Step) -> Result<Tally> {
        let pace = Pace::new(step.start, step.rate, self.turn, self.workers);
        let mut sent = 0;
        self.window = Window::new(self.lane().next());
        while !step.stop.is_ordered() {
            let pause = self.send(&pace, &mut sent);
            self.receive(pause, Some(&step.stop))?;
        }
        self.checker.sending_ended();
        self.lane().finish();
        let end = self.plan.now() + step.grace.as_nanos() as u64;
        while !self.plan.board.is_settled() && self.plan.now() < end {
            self.receive(NAP, None)?;
        }
        Ok(Tally { sent, refusal: self.refusal.take(), ..self.checker.take() })
    }

    fn lane(&self) -> &super::board::Lane {
        self.plan.board.lane(self.turn)
    }

    /// Sends up to one batch of what is due, from one port. Gives how long nothing more is due.
    fn send(&mut self, pace: &Pace, sent: &mut u64) -> Duration {
        let plan = &*self.plan;
        let lane = plan.board.lane(self.turn);
        let (now, first) = (plan.now(), lane.next());
        let owed = if pace.is_open() { pace.owed(*sent, now) } else { self.window.room(now, first) };
        let batch = owed.min(SIZE as u64) as usize;
        let flow = self.flows.start + self.next_flow;
        for index in 0..batch {
            let number = first.wrapping_add(index as u32);
            let due = pace.due(*sent + index as u64, now);
            let id = plan.key.seal(Stamp { worker: self.turn as u8, number, due }, flow as u32);
            lane.prepare(number);
            let request = &plan.mix.requests[plan.mix.at(number)];
            let length = request.write(self.requests.buffer(index), &id);
            self.requests.mark(index, length);
        }
        let (mut left, mut full) = (0, false);
        if batch > 0 {
            let refusal = &mut self.refusal;
            // A number that the kernel refused stands for no request; those behind it keep theirs.
            let mut last = None;
            self.requests.send(&self.sockets[self.next_flow], |index, ended| match ended {
                Sent::Left => {
                    left += 1;
                    last = Some(index);
                }
                Sent::Refused(errno) => *refusal = Some(io::Error::from_raw_os_error(errno)),
                Sent::Full => full = true,
            });
            let used = last.map_or(0, |index| index as u32 + 1);
            lane.left(used, left);
            self.window.sent(left);
            *sent += left;
            self.next_flow = (self.next_flow + 1) % self.sockets.len();
        }
        match pace.is_open() {
            _ if full => BREATH,
            true => pace.pause(*sent, plan.now()).min(NAP),
            false if owed > batch as u64 => Duration::ZERO,
            false => NAP,
        }
    }

    /// Waits up to `pause` for replies, or for the order to stop, and takes those that are there.
    fn receive(&mut self, pause: Duration, stop: Option<&Stop>) -> Result<()> {
        let pause = Timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos() as _ };
        let watched = self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN));
        let mut watched: Vec<_> = watched.chain(stop.map(|stop| PollFd::new(stop, PollFlags::IN))).collect();
        match poll(&mut watched, Some(&pause)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(Failure::system("cannot wait for replies").because(errno)),
        }
        let readable = watched.iter().map(|socket| !socket.revents().is_empty());
        let readable: Vec<bool> = readable.collect();
        (0..self.sockets.len()).filter(|port| readable[*port]).for_each(|port| self.drain(port));
        self.checker.publish(self.turn);
        Ok(())
    }

    /// Takes what came to one port.
    fn drain(&mut self, port: usize) {
        let flow = self.flows.start + port;
        for _ in 0..ROUNDS {
            match self.replies.receive(&self.sockets[port]) {
                Ok(taken) => {
                    let now = self.plan.now();
                    for reply in 0..taken {
                        if let Some(number) = self.checker.check(self.replies.payload(reply), flow, now) {
                            self.window.answered(number);
                        }
                    }
                    if taken < SIZE {
                        return;
                    }
                }
                Err(error) => self.refusal = Some(error),
            }
        }
    }
}
