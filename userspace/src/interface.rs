//! What the kernel tells of an interface: over netlink, without unsafe code.
//!
//! Netlink answers for the network namespace of the calling thread. Sysfs answers for the namespace
//! it was mounted in, so it is asked only for what netlink does not tell, and only after it was seen
//! to mean the same interface.

mod address;
mod attribute;
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
pub use ethtool::{Channels, Features, RingSizes, channels, features, receive_queues, rings};
pub(crate) use ethtool::{FlowHash, flow_hash};
pub use napi::NapiSettings;
pub use neighbour::{Route, neighbour, route};
pub use netdev::{XdpFeatures, xdp_features};
pub use route::{AttachedXdpMode, Interface, XdpAttachment, all, find};
pub use sysfs::driver;
pub use watch::{Changed, Watch};
