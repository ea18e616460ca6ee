//! Whether the XDP programs are on their interfaces: somebody may take one away.

use crate::datapath::Datapath;
use crate::interface;
use std::collections::HashMap;

/// What was seen at the last look, by interface.
#[derive(Debug, Default)]
pub(super) struct Attachment(HashMap<String, bool>);

impl Attachment {
    /// Takes a look at every interface that is served over AF_XDP.
    pub(super) fn look(&mut self, datapath: &Datapath) {
        let over_af_xdp =
            || datapath.interfaces.iter().filter_map(|path| Some((path, path.af_xdp.as_ref()?)));
        if over_af_xdp().next().is_none() {
            return;
        }
        // A kernel that does not answer tells nothing new.
        let Ok(interfaces) = interface::all() else { return };
        for (path, af_xdp) in over_af_xdp() {
            let found = interfaces.iter().find(|found| found.index == af_xdp.interface().index);
            let program = found.and_then(|found| found.xdp.as_ref()).map(|program| program.program_id);
            self.0.insert(path.name.clone(), program == Some(af_xdp.program_id()));
        }
    }

    /// Whether our program is on this interface, as far as was seen.
    pub(super) fn holds(&self, interface: &str) -> bool {
        self.0.get(interface).copied().unwrap_or(true)
    }
}
