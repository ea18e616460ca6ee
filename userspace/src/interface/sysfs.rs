//! Properties that only sysfs has.

use super::route::Interface;
use std::fs;
use std::path::PathBuf;

/// Returns the interface's directory in sysfs, if it belongs to this very interface: sysfs shows the network
/// namespace that it was mounted in, which may be another.
pub(super) fn directory(interface: &Interface) -> Option<PathBuf> {
    let directory = PathBuf::from("/sys/class/net").join(&interface.name);
    let index: u32 = fs::read_to_string(directory.join("ifindex")).ok()?.trim().parse().ok()?;
    let address = fs::read_to_string(directory.join("address")).unwrap_or_default();
    let [a, b, c, d, e, f] = interface.mac;
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let same = index == interface.index && (address.trim() == mac || !interface.ethernet);
    same.then_some(directory)
}

/// Returns the number of receive queues in sysfs.
pub(super) fn receive_queues(interface: &Interface) -> Option<u32> {
    let queues = fs::read_dir(directory(interface)?.join("queues")).ok()?;
    let count = queues
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().starts_with("rx-")))
        .filter(|receive| *receive)
        .count();
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// Returns the name of the driver, like `mlx5_core`; of a virtual interface, its kind, like `veth`. `None` if the
/// kernel reports neither.
pub fn driver(interface: &Interface) -> Option<String> {
    let of_device = interface.device.as_ref().and_then(|(device, bus)| {
        // Unlike interfaces, buses are the same in every network namespace.
        link_name(PathBuf::from("/sys/bus").join(bus).join("devices").join(device).join("driver"))
    });
    of_device
        .or_else(|| link_name(directory(interface)?.join("device/driver")))
        .or_else(|| interface.kind.clone())
}

fn link_name(link: PathBuf) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_string_lossy().into_owned())
}
