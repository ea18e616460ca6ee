//! Checks of the AF_XDP paths once a second: queues whose worker ended, interfaces on which no frame
//! arrives or whose XDP program is gone.

use super::attachment::AttachmentCheck;
use super::delivery::DeliveryCheck;
use super::reception::{Deafness, ReceptionCheck};
use super::step_downs::StepDownLog;
use super::transmission::{LostReplies, TransmissionChange, TransmissionCheck};
use crate::datapath::Datapath;
use crate::datapath::af_xdp::{ANSWERS_RUNG, AfXdp};

/// The results of the checks so far.
pub(super) struct Supervisor {
    /// Every step down since the start.
    pub(super) step_downs: StepDownLog,
    /// Whether the XDP programs are attached.
    pub(super) attachment: AttachmentCheck,
    /// Whether the frames that they redirect arrive.
    pub(super) delivery: DeliveryCheck,
    /// Whether anything arrives since the queues were bound.
    reception: ReceptionCheck,
    /// Whether the replies of the XDP programs leave.
    pub(super) transmission: TransmissionCheck,
}

impl Supervisor {
    /// Begins with a datapath that has just started.
    pub(super) fn new(datapath: &Datapath) -> Self {
        Supervisor {
            step_downs: StepDownLog::new(datapath),
            attachment: AttachmentCheck::default(),
            delivery: DeliveryCheck::default(),
            reception: ReceptionCheck::default(),
            transmission: TransmissionCheck::default(),
        }
    }

    /// Checks everything. Queues whose worker ended, and interfaces on which no frame arrives, step down to
    /// the sockets.
    pub(super) fn check(&mut self, datapath: &mut Datapath) {
        for path in &mut datapath.interfaces {
            let Some(af_xdp) = &mut path.af_xdp else { continue };
            af_xdp.flush_log();
            for (queue, failure) in af_xdp.reap() {
                self.step_downs.add(&path.name, &format!("queue {queue}"), &failure.to_string());
                tracing::warn!(interface = path.name, queue, "the sockets take over this queue: {failure}");
            }
            if self.delivery.is_broken(&path.name, af_xdp) {
                af_xdp.step_down();
                let reason = "the XDP program redirects frames to the workers and none arrives, which is a fault of \
                              the driver; try --bind-mode copy or --xdp-mode generic";
                self.step_downs.add(&path.name, "af-xdp", reason);
                tracing::warn!(interface = path.name, "the sockets take over: {reason}");
            }
            if let Some(why) = self.reception.check(&path.name, af_xdp) {
                self.leave_deaf_rung(&path.name, af_xdp, why);
            }
            match self.transmission.check(&path.name, af_xdp) {
                Some(TransmissionChange::Leave { replies, minutes }) => {
                    self.leave_kernel_answers(&path.name, af_xdp, replies, minutes);
                }
                Some(TransmissionChange::TryAgain) => try_kernel_answers_again(&path.name, af_xdp),
                None => {}
            }
        }
        self.attachment.check(datapath);
    }

    /// Leaves plain requests to the workers for `minutes`, because the driver does not send the program's replies.
    fn leave_kernel_answers(
        &mut self,
        interface: &str,
        af_xdp: &mut AfXdp,
        replies: LostReplies,
        minutes: u32,
    ) {
        let LostReplies { answered, lost } = replies;
        let reason = format!(
            "the driver did not send {lost} of {answered} replies of the XDP program; on a veth pair, the other end \
             needs an XDP program; the next attempt is {minutes} min later"
        );
        self.step_downs.add(interface, ANSWERS_RUNG, &reason);
        match af_xdp.leave_answers(reason.as_str()) {
            Ok(()) => tracing::warn!(interface, "the workers answer plain requests: {reason}"),
            Err(failure) => tracing::warn!(interface, "not all requests are left to the workers: {failure}"),
        }
    }

    /// Whether queues may still have to be bound again, which takes capabilities.
    pub(super) fn may_bind_again(&self, datapath: &Datapath) -> bool {
        let paths = datapath.interfaces.iter().filter_map(|path| Some((&path.name, path.af_xdp.as_ref()?)));
        paths.into_iter().any(|(name, af_xdp)| af_xdp.is_zero_copy() && self.reception.is_open(name))
    }

    /// Takes an interface on which nothing arrives to the next rung: from zero-copy to copy mode, from there to the
    /// sockets.
    fn leave_deaf_rung(&mut self, interface: &str, af_xdp: &mut AfXdp, why: Deafness) {
        const FAULT: &str =
            "the XDP program sees no frame since the queues were bound, which is a fault of the driver";
        let reason = format!("{FAULT}: {why}");
        if !af_xdp.is_zero_copy() {
            af_xdp.detach();
            self.step_downs.add(interface, "af-xdp", &reason);
            tracing::warn!(interface, "the sockets take over: {reason}; try --xdp-mode generic");
            return;
        }
        self.step_downs.add(interface, "zero-copy", &reason);
        match af_xdp.leave_zero_copy() {
            Ok(failures) => {
                tracing::warn!(interface, "copy mode takes over: {reason}; use --bind-mode copy");
                for failure in failures {
                    self.step_downs.add(interface, &failure.from, &failure.reason);
                    tracing::warn!(interface, "the sockets take over {failure}");
                }
            }
            Err(failure) => {
                self.step_downs.add(interface, "af-xdp", &failure.to_string());
                tracing::warn!(interface, "the sockets take over: {reason}; {failure}");
            }
        }
        self.reception.restart(interface);
    }
}

/// Lets the XDP program answer plain requests again that were left to the workers.
fn try_kernel_answers_again(interface: &str, af_xdp: &mut AfXdp) {
    match af_xdp.try_answers_again() {
        Ok(()) if !af_xdp.kernel_answers().on => {}
        Ok(()) => {
            tracing::info!(
                interface,
                "the XDP program answers plain requests again, to see if its replies leave"
            );
        }
        Err(failure) => tracing::warn!(interface, "not all kernel answers are restored: {failure}"),
    }
}
