//! The generator over AF_XDP. It builds and sends the frames itself; the server's own XDP program
//! redirects the replies to it, with the addresses and ports of the load as its served endpoints.
//!
//! The NIC, or the peer of a veth pair, chooses the queue of a reply, which may be another than that of
//! the request. So every receive queue has a socket, and any worker can check any reply.

mod frame;
mod start;
mod worker;

pub(super) use start::{LoadAttachment, start};
