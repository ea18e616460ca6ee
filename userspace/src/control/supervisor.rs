//! Checks of the AF_XDP paths once a second: queues whose worker ended, interfaces on which no frame
//! arrives or whose XDP program is gone.

use super::attachment::AttachmentCheck;
use super::delivery::DeliveryCheck;
use super::step_downs::StepDownLog;
use crate::datapath::Datapath;

/// The results of the checks so far.
pub(super) struct Supervisor {
    /// Every step down since the start.
    pub(super) step_downs: StepDownLog,
    /// Whether the XDP programs are attached.
    pub(super) attachment: AttachmentCheck,
    /// Whether the frames that they redirect arrive.
    pub(super) delivery: DeliveryCheck,
}

impl Supervisor {
    /// Begins with a datapath that has just started.
    pub(super) fn new(datapath: &Datapath) -> Self {
        Supervisor {
            step_downs: StepDownLog::new(datapath),
            attachment: AttachmentCheck::default(),
            delivery: DeliveryCheck::default(),
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
        }
        self.attachment.check(datapath);
    }
}
