//! Steps down the ladder, and which failures must not be one.

use crate::config::{BindModeArg, DatapathArg, FixedConfig, XdpModeArg};
use crate::error::{Failure, FailureKind};
use std::fmt;

/// Whether this build has AF_XDP.
pub(crate) const AF_XDP_BUILT: bool = cfg!(feature = "af-xdp");

/// A rung of the ladder that is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepDown {
    /// The rung, or the queue.
    pub(crate) from: String,
    /// Why, in the kernel's words where it gave any.
    pub(crate) reason: String,
}

impl StepDown {
    /// Takes the reason from a failure's whole text.
    pub(crate) fn new(from: impl Into<String>, failure: &Failure) -> Self {
        StepDown { from: from.into(), reason: failure.to_string() }
    }
}

impl fmt::Display for StepDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.reason)
    }
}

/// Whether a failure must end the start instead of a step down: a flag pins the rung, the flags are
/// wrong, a permission is missing, or another program would be displaced. Anything else is a limit of
/// this machine.
pub(super) fn must_not_step_down(config: &FixedConfig, failure: &Failure) -> bool {
    let pinned = config.xdp_mode == XdpModeArg::Native
        || config.bind_mode == BindModeArg::ZeroCopy
        || config.busy_poll;
    config.datapath == DatapathArg::AfXdp
        // A build without AF_XDP has no rung that these flags could pin.
        || AF_XDP_BUILT && pinned
        || failure.kind() == FailureKind::Usage
        || is_denied(failure)
        || failure.errno() == Some(libc::EBUSY)
}

/// Whether a permission is missing, which every lower XDP rung needs too.
pub(super) fn is_denied(failure: &Failure) -> bool {
    matches!(failure.errno(), Some(libc::EPERM | libc::EACCES))
}
