//! Whether the XDP programs are attached: another program may remove one.

use crate::datapath::Datapath;
use crate::interface;
use std::collections::HashMap;

/// The result of the last check, by interface.
#[derive(Debug, Default)]
pub(super) struct AttachmentCheck(HashMap<String, bool>);

impl AttachmentCheck {
    /// Checks every interface that is served over AF_XDP.
    pub(super) fn check(&mut self, datapath: &Datapath) {
        let over_af_xdp =
            || datapath.interfaces.iter().filter_map(|path| Some((path, path.af_xdp.as_ref()?)));
        if over_af_xdp().next().is_none() {
            return;
        }
        // If the kernel does not answer, the last result stands.
        let Ok(interfaces) = interface::all() else { return };
        for (path, af_xdp) in over_af_xdp() {
            let found = interfaces.iter().find(|found| found.index == af_xdp.interface().index);
            let program = found.and_then(|found| found.xdp.as_ref()).map(|program| program.program_id);
            self.0.insert(path.name.clone(), program == Some(af_xdp.program_id()));
        }
    }

    /// Whether our program was attached to this interface at the last check.
    pub(super) fn is_attached(&self, interface: &str) -> bool {
        self.0.get(interface).copied().unwrap_or(true)
    }
}
