//! What is looked after once a second: queues whose worker ended, interfaces where no frame arrives.

#[cfg(feature = "af-xdp")]
use super::delivery::Delivery;
use crate::datapath::Datapath;

/// What was seen at the looks before.
#[derive(Default)]
pub(super) struct Care {
    #[cfg(feature = "af-xdp")]
    delivery: Delivery,
}

impl Care {
    /// Leaves queues whose worker ended, and interfaces where no frame arrives, to the sockets.
    #[cfg(feature = "af-xdp")]
    pub(super) fn look_after(&mut self, datapath: &mut Datapath) {
        for path in &mut datapath.interfaces {
            let Some(af_xdp) = &mut path.af_xdp else { continue };
            af_xdp.flush_log();
            for (queue, failure) in af_xdp.reap() {
                tracing::warn!(interface = path.name, queue, "the sockets take over this queue: {failure}");
            }
            if self.delivery.is_broken(&path.name, af_xdp) {
                af_xdp.release_queues();
                tracing::warn!(
                    interface = path.name,
                    "the sockets take over: the XDP program hands frames to the workers and none arrives, which is \
                     a fault of the driver; try --bind-mode copy or --xdp-mode generic"
                );
            }
        }
    }

    /// Sockets look after themselves.
    #[cfg(not(feature = "af-xdp"))]
    pub(super) fn look_after(&mut self, _datapath: &mut Datapath) {}
}
