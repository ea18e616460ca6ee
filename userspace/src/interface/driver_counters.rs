//! The driver's own counters, as `ethtool -S` shows them: by ioctl, because netlink does not have them.
#![allow(unsafe_code)]

use super::route::Interface;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Commands of linux/ethtool.h, and the set of strings that names the counters.
const GET_SET_SIZE: u32 = 0x37;
const GET_STRINGS: u32 = 0x1b;
const GET_COUNTERS: u32 = 0x1d;
const COUNTERS: u32 = 1;
/// Bytes of a name.
const NAME: usize = 32;
/// Most counters that are read. Drivers have some for each queue: 19,338 were seen.
const MOST: usize = 32_768;
/// Counters that a buffer has room for beyond those that the driver has just said it has.
const SPARE: usize = 32_768;

/// The counters of one driver for one interface, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverCounters(Vec<(String, u64)>);

impl DriverCounters {
    /// Reads them. `None` if the driver has none, or if they changed meanwhile.
    pub fn read(interface: &Interface) -> Option<Self> {
        let device = Device::open(&interface.name)?;
        let count = device.count()?;
        let names = device.names(count)?;
        Some(DriverCounters(names.into_iter().zip(device.values(count)?).collect()))
    }

    /// How many replies of the XDP program (XDP_TX) the driver failed to send. `None` if it does not count that.
    pub fn transmit_errors(&self) -> Option<u64> {
        // rx_queue_0_xdp_tx_errors (veth), tx0_xdp_tx_drops (virtio_net), rx_xdp_tx_full (mlx5_core), ...
        self.sum(|name| {
            name.contains("xdp_tx") && ["err", "drop", "full"].iter().any(|what| name.contains(what))
        })
    }

    /// How many frames the NIC has received, as far as the driver counts that.
    pub fn received(&self) -> Option<u64> {
        self.0.iter().find(|(name, _)| name == "rx_packets").map(|(_, value)| *value)
    }

    /// Adds up the counters with these names: those of the whole interface, or else those of its queues, whose
    /// names have the queue's number.
    fn sum(&self, wanted: impl Fn(&str) -> bool) -> Option<u64> {
        let wanted = || self.0.iter().filter(|(name, _)| wanted(name));
        let of_queue = |name: &str| name.contains(|c: char| c.is_ascii_digit());
        let whole = wanted().any(|(name, _)| !of_queue(name));
        let values: Vec<u64> =
            wanted().filter(|(name, _)| of_queue(name) != whole).map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value)))
    }
}

/// An interface that ethtool's ioctl is asked about.
struct Device {
    socket: OwnedFd,
    name: [u8; 16],
}

/// `struct ifreq`, with a pointer in its union.
#[repr(C)]
struct Request {
    name: [u8; 16],
    data: *mut libc::c_void,
    rest: [u64; 2],
}

impl Device {
    fn open(interface: &str) -> Option<Self> {
        let mut name = [0; 16];
        // The last byte stays zero.
        name[..15].get_mut(..interface.len())?.copy_from_slice(interface.as_bytes());
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
        Some(Device { socket, name })
    }

    /// Runs a command on `words`, which begin with its number.
    ///
    /// # Safety
    /// `words` must have room for all that the kernel writes.
    unsafe fn run(&self, words: &mut [u32]) -> Option<()> {
        let mut request = Request { name: self.name, data: words.as_mut_ptr().cast(), rest: [0; 2] };
        // SAFETY: the request is a whole ifreq, its name ends with a zero, and the caller vouches for what its
        // pointer leads to.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        (result == 0).then_some(())
    }

    /// Returns how many counters the driver has.
    fn count(&self) -> Option<usize> {
        // struct ethtool_sset_info: command, reserved, a mask of 64 bits, and the size of the one set.
        let [low, high] =
            if cfg!(target_endian = "little") { [1 << COUNTERS, 0] } else { [0, 1 << COUNTERS] };
        let mut words = [GET_SET_SIZE, 0, low, high, 0];
        // SAFETY: the kernel writes one word for each set of the mask that the driver has: one at most.
        unsafe { self.run(&mut words) }?;
        Some(words[4] as usize).filter(|count| (1..=MOST).contains(count))
    }

    /// Returns the names of `count` counters.
    fn names(&self, count: usize) -> Option<Vec<String>> {
        // struct ethtool_gstrings: command, set, number of strings, strings.
        let mut words = vec![0; 3 + (count + SPARE) * NAME / 4];
        words[..3].copy_from_slice(&[GET_STRINGS, COUNTERS, count as u32]);
        // SAFETY: kernels before 6.19 write as many strings as there are now, whatever number is given. No driver
        // adds as many counters between two calls as there is room for.
        unsafe { self.run(&mut words) }?;
        let bytes: Vec<u8> =
            words[3..].iter().take(count * NAME / 4).flat_map(|word| word.to_ne_bytes()).collect();
        let name = |bytes: &[u8]| super::attribute::text(bytes);
        (words[2] as usize == count).then(|| bytes.chunks_exact(NAME).map(name).collect())
    }

    /// Returns the values of `count` counters.
    fn values(&self, count: usize) -> Option<Vec<u64>> {
        // struct ethtool_stats: command, number of values, values of 64 bits.
        let mut words = vec![0; 2 + (count + SPARE) * 2];
        words[..2].copy_from_slice(&[GET_COUNTERS, count as u32]);
        // SAFETY: as for the names.
        unsafe { self.run(&mut words) }?;
        let bytes: Vec<u8> = words[2..].iter().take(count * 2).flat_map(|word| word.to_ne_bytes()).collect();
        let value = |bytes: &[u8]| bytes.first_chunk().copied().map(u64::from_ne_bytes);
        (words[1] as usize == count).then(|| bytes.chunks_exact(8).filter_map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::DriverCounters;

    fn errors(counters: &[(&str, u64)]) -> Option<u64> {
        DriverCounters(counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
            .transmit_errors()
    }

    #[test]
    fn what_drivers_call_replies_that_they_did_not_send_is_found() {
        let veth = [
            ("peer_ifindex", 2),
            ("rx_queue_0_xdp_packets", 900),
            ("rx_queue_0_xdp_tx", 500),
            ("rx_queue_0_xdp_tx_errors", 30),
            ("rx_queue_1_xdp_tx_errors", 4),
            ("tx_queue_0_xdp_xmit_errors", 1_000),
        ];
        assert_eq!(errors(&veth), Some(34));
        assert_eq!(errors(&[("tx0_xdp_tx", 9), ("tx0_xdp_tx_drops", 5), ("tx1_xdp_tx_drops", 6)]), Some(11));
        let mlx5 =
            [("rx_xdp_tx_full", 7), ("rx_xdp_tx_err", 1), ("rx0_xdp_tx_full", 7), ("rx0_xdp_tx_err", 1)];
        assert_eq!(errors(&mlx5), Some(8), "the sums of the queues, not both");
        assert_eq!(errors(&[("rx_packets", 9), ("queue_0_rx_xdp_tx", 3)]), None);
    }
}
