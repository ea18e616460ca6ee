//! The XDP features of a driver, from the generic netlink family `netdev` (Linux 6.3 and later).

use super::attribute::{Attributes, attribute, number, number32};
use super::genetlink::Family;
use super::route::Interface;

/// XDP features of an interface (linux/netdev.h, enum netdev_xdp_act).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    bits: u64,
    /// Maximum of buffers for one zero-copy frame; `None` if the kernel does not report it.
    pub zero_copy_segments: Option<u32>,
}

/// Names of the bits, from bit 0.
const NAMES: [&str; 7] =
    ["basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"];

impl XdpFeatures {
    #[cfg(test)]
    pub(crate) fn with(names: &[&str]) -> Self {
        let bits =
            (0..).zip(NAMES).filter(|(_, name)| names.contains(name)).map(|(bit, _)| 1u64 << bit).sum();
        XdpFeatures { bits, zero_copy_segments: None }
    }

    /// Native XDP with the verdicts pass, drop, aborted and transmit.
    pub fn basic(&self) -> bool {
        self.has(0)
    }

    /// Native XDP can redirect, which AF_XDP sockets need.
    pub fn redirect(&self) -> bool {
        self.has(1)
    }

    /// AF_XDP sockets can bind with zero-copy.
    pub fn zero_copy(&self) -> bool {
        self.has(3)
    }

    /// Native XDP accepts frames of several buffers (a jumbo MTU).
    pub(crate) fn receive_multi_buffer(&self) -> bool {
        self.has(5)
    }

    /// Returns the names of all features, as in the kernel's documentation.
    pub fn names(&self) -> Vec<&'static str> {
        (0..).zip(NAMES).filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect()
    }

    fn has(&self, bit: u32) -> bool {
        self.bits & 1 << bit != 0
    }
}

const DEV_GET: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
const XDP_ZC_MAX_SEGS: u16 = 4;

/// Reads the XDP features of `interface`; `None` if this kernel does not report them.
pub fn xdp_features(interface: &Interface) -> Option<XdpFeatures> {
    let request = Attributes::default().number(IFINDEX, interface.index);
    parse(&Family::open("netdev").ok()?.request(DEV_GET, request).ok()?)
}

fn parse(answer: &[u8]) -> Option<XdpFeatures> {
    Some(XdpFeatures {
        bits: attribute(answer, XDP_FEATURES).and_then(number)?,
        zero_copy_segments: attribute(answer, XDP_ZC_MAX_SEGS).and_then(number32),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[cfg(target_endian = "little")]
    #[test]
    fn recorded_answers_are_read() {
        use super::super::recorded::{XDP_VETH, XDP_VIRTIO, hex};
        let veth = parse(&hex(XDP_VETH)).unwrap();
        assert_eq!(veth.names(), ["basic", "redirect", "rx-sg"]);
        assert!(veth.basic() && veth.redirect() && veth.receive_multi_buffer() && !veth.zero_copy());
        assert_eq!(veth.zero_copy_segments, None);
        let virtio = parse(&hex(XDP_VIRTIO)).unwrap();
        assert_eq!(virtio.names(), ["basic", "redirect", "xsk-zerocopy", "rx-sg"]);
        assert!(virtio.zero_copy());
        assert_eq!(virtio.zero_copy_segments, Some(1));
    }

    #[test]
    fn no_answer_is_no_features() {
        assert_eq!(parse(&[]), None);
    }
}
