//! What the kernel tells of an interface: over netlink, without unsafe code.
