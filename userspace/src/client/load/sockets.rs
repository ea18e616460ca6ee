//! The generator over ordinary sockets. They are connected, divided among the workers, and send in
//! batches.

use super::checker::ReplyChecker;
use super::id::RequestStamp;
use super::plan::{LoadPlan, Pace};
use super::pool::LoadStep;
use super::tally::Tally;
use super::tracker::WorkerRequests;
use super::window::InFlightWindow;
use crate::datapath::socket::{Batch, SIZE, Sent};
use crate::error::{Failure, Result};
use crate::stop::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::UdpSocket;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Most batches received from one port before the next port is served.
const MAX_BATCHES: usize = 4;
/// Longest sleep before the worker reads the clock again.
const MAX_SLEEP: Duration = Duration::from_millis(10);
/// How long to sleep when the kernel accepts no more requests for now.
const FULL_SLEEP: Duration = Duration::from_micros(100);

/// One worker with its flows, each of which has a socket.
pub(super) struct SocketLoadWorker {
    plan: Arc<LoadPlan>,
    index: usize,
    /// How many workers there are.
    workers: usize,
    /// The flows of this worker in the plan; `sockets` has their sockets in the same order.
    flows: Range<usize>,
    sockets: Vec<UdpSocket>,
    /// The flow that sends next, counted from this worker's first.
    next_flow: usize,
    requests: Batch,
    replies: Batch,
    checker: ReplyChecker,
    window: InFlightWindow,
    /// The last error with which the network refused a request.
    send_error: Option<io::Error>,
}

impl SocketLoadWorker {
    /// Returns worker `index` of `workers`. `sockets` are connected, and belong to the plan's flows `flows`.
    pub(super) fn new(
        plan: Arc<LoadPlan>,
        index: usize,
        workers: usize,
        flows: Range<usize>,
        sockets: Vec<UdpSocket>,
    ) -> Self {
        let checker = ReplyChecker::new(Arc::clone(&plan));
        SocketLoadWorker {
            plan,
            index,
            workers,
            flows,
            sockets,
            next_flow: 0,
            requests: Batch::connected(),
            replies: Batch::connected(),
            checker,
            window: InFlightWindow::default(),
            send_error: None,
        }
    }

    /// Sends until the step's stop is ordered, then waits for the last replies.
    ///
    /// # Errors
    /// System: the kernel does not let this thread wait.
    pub(super) fn step(&mut self, step: &LoadStep) -> Result<Tally> {
        let pace = Pace::new(step.start, step.rate, self.index, self.workers);
        let mut sent = 0;
        self.window = InFlightWindow::new(self.own_requests().next());
        while !step.stop.is_ordered() {
            let pause = self.send(&pace, &mut sent);
            self.receive(pause, Some(&step.stop))?;
        }
        self.checker.end_sending();
        self.own_requests().end_sending();
        let end = self.plan.now() + step.grace.as_nanos() as u64;
        while !self.plan.tracker.is_settled() && self.plan.now() < end {
            self.receive(MAX_SLEEP, None)?;
        }
        Ok(Tally { sent, send_error: self.send_error.take(), ..self.checker.take() })
    }

    fn own_requests(&self) -> &WorkerRequests {
        self.plan.tracker.worker(self.index)
    }

    /// Sends at most one batch of the requests that are due, from one port. Returns how long it takes until
    /// the next is due.
    fn send(&mut self, pace: &Pace, sent: &mut u64) -> Duration {
        let plan = &*self.plan;
        let own = plan.tracker.worker(self.index);
        let (now, first) = (plan.now(), own.next());
        let due = if pace.is_open_loop() { pace.backlog(*sent, now) } else { self.window.room(now, first) };
        let batch = due.min(SIZE as u64) as usize;
        let flow = self.flows.start + self.next_flow;
        for index in 0..batch {
            let number = first.wrapping_add(index as u32);
            let due = pace.due(*sent + index as u64, now);
            let stamp = RequestStamp { worker: self.index as u8, number, due };
            let id = plan.key.encode(stamp, flow as u32);
            own.clear(number);
            let request = &plan.mix.requests[plan.mix.at(number)];
            let length = request.write(self.requests.buffer(index), &id);
            self.requests.mark(index, length);
        }
        let (mut left, mut full) = (0, false);
        if batch > 0 {
            let send_error = &mut self.send_error;
            // A number whose request the kernel refused stays unused. Those after it keep their numbers.
            let mut last = None;
            self.requests.send(&self.sockets[self.next_flow], |index, sent| match sent {
                Sent::Left => {
                    left += 1;
                    last = Some(index);
                }
                Sent::Refused(errno) => *send_error = Some(io::Error::from_raw_os_error(errno)),
                Sent::Full => full = true,
            });
            let used = last.map_or(0, |index| index as u32 + 1);
            own.add_sent(used, left);
            self.window.add_sent(left);
            *sent += left;
            self.next_flow = (self.next_flow + 1) % self.sockets.len();
        }
        match pace.is_open_loop() {
            _ if full => FULL_SLEEP,
            true => pace.pause(*sent, plan.now()).min(MAX_SLEEP),
            false if due > batch as u64 => Duration::ZERO,
            false => MAX_SLEEP,
        }
    }

    /// Waits at most `pause` for replies or for `stop`, and checks the replies that are there.
    fn receive(&mut self, pause: Duration, stop: Option<&Stop>) -> Result<()> {
        let pause = Timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos() as _ };
        let sockets = self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN));
        let mut polled: Vec<_> = sockets.chain(stop.map(|stop| PollFd::new(stop, PollFlags::IN))).collect();
        match poll(&mut polled, Some(&pause)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(Failure::system("cannot wait for replies").because(errno)),
        }
        let readable: Vec<bool> = polled.iter().map(|socket| !socket.revents().is_empty()).collect();
        (0..self.sockets.len()).filter(|port| readable[*port]).for_each(|port| self.receive_from(port));
        self.checker.publish(self.index);
        Ok(())
    }

    /// Receives and checks what arrived at one port.
    fn receive_from(&mut self, port: usize) {
        let flow = self.flows.start + port;
        for _ in 0..MAX_BATCHES {
            match self.replies.receive(&self.sockets[port]) {
                Ok(received) => {
                    let now = self.plan.now();
                    for reply in 0..received {
                        if let Some(number) = self.checker.check(self.replies.payload(reply), flow, now) {
                            self.window.mark_answered(number);
                        }
                    }
                    if received < SIZE {
                        return;
                    }
                }
                Err(error) => self.send_error = Some(error),
            }
        }
    }
}
