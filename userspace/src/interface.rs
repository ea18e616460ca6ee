//! Reads the properties of network interfaces from the kernel: over netlink, without unsafe code but for what only ioctls have.
//!
//! Netlink answers for the network namespace of the calling thread. Sysfs answers for the namespace that it
//! was mounted in, so it is read only for what netlink does not have, and only after a check that it means the
//! same interface.

mod address;
mod attribute;
mod driver_counters;
mod ethtool;
mod genetlink;
mod napi;
mod neighbour;
mod netdev;
mod netlink;
#[cfg(all(test, target_endian = "little"))]
mod recorded;
mod route;
mod sysfs;
mod watch;

pub use address::{Address, addresses};
pub use driver_counters::DriverCounters;
pub use ethtool::{Channels, Features, channels, features, receive_queues};
pub(crate) use ethtool::{FlowHash, RingSizes, flow_hash, rings};
pub use napi::NapiSettings;
pub use neighbour::{Neighbour, Route, neighbour, reachable_neighbours, route};
pub use netdev::{XdpFeatures, xdp_features};
#[cfg(test)]
pub(crate) use route::AttachedXdpMode;
pub use route::{Interface, XdpAttachment, all, find};
pub use sysfs::driver;
pub use watch::{Changed, Watch};
