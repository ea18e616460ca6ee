//! What is looked after once a second: queues whose worker ended, interfaces where no
//! frame arrives or whose program is gone.

#[cfg(feature = "af-xdp")]
use super::attachment::Attachment;
#[cfg(feature = "af-xdp")]
use super::delivery::Delivery;
use super::journal::Journal;
use crate::datapath::Datapath;

/// What was seen at the looks before.
pub(super) struct Care {
    /// What was stepped down from.
    pub(super) journal: Journal,
    /// Whether the XDP programs are where they should be.
    #[cfg(feature = "af-xdp")]
    pub(super) attachment: Attachment,
    /// Whether what they hand over arrives.
    #[cfg(feature = "af-xdp")]
    pub(super) delivery: Delivery,
}

impl Care {
    /// Begins to look after what has just started.
    pub(super) fn begin(datapath: &Datapath) -> Self {
        Care {
            journal: Journal::begin(datapath),
            #[cfg(feature = "af-xdp")]
            attachment: Attachment::default(),
            #[cfg(feature = "af-xdp")]
            delivery: Delivery::default(),
        }
    }

    /// Leaves queues whose worker ended, and interfaces where no frame arrives, to the sockets.
    #[cfg(feature = "af-xdp")]
    pub(super) fn look_after(&mut self, datapath: &mut Datapath) {
        for path in &mut datapath.interfaces {
            let Some(af_xdp) = &mut path.af_xdp else { continue };
            af_xdp.flush_log();
            for (queue, failure) in af_xdp.reap() {
                self.journal.note(&path.name, &format!("queue {queue}"), &failure.to_string());
                tracing::warn!(interface = path.name, queue, "the sockets take over this queue: {failure}");
            }
            if self.delivery.is_broken(&path.name, af_xdp) {
                af_xdp.release_queues();
                let reason = "the XDP program hands frames to the workers and none arrives, which is a fault of the \
                     driver; try --bind-mode copy or --xdp-mode generic";
                self.journal.note(&path.name, "af-xdp", reason);
                tracing::warn!(interface = path.name, "the sockets take over: {reason}");
            }
        }
        self.attachment.look(datapath);
    }

    /// Sockets look after themselves.
    #[cfg(not(feature = "af-xdp"))]
    pub(super) fn look_after(&mut self, _datapath: &mut Datapath) {}
}
