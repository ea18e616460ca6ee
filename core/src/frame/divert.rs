//! Replies that leave from another endpoint than the one that received the request (RFC 5780 §6.1).

use super::field;
use crate::classify::{Shape, Version};
use core::net::{IpAddr, SocketAddr};

/// Returns the destination address and port of a frame of this `shape` whose headers are unchanged; `None` if
/// the frame is too short.
pub fn destination(frame: &[u8], shape: Shape) -> Option<SocketAddr> {
    let header = frame.get(shape.ip()..shape.udp())?;
    let ip: IpAddr = match shape.version() {
        Version::V4 => header.get(field::IPV4_ADDRESSES + 4..)?.first_chunk::<4>().copied()?.into(),
        Version::V6 => header.get(field::IPV6_ADDRESSES + 16..)?.first_chunk::<16>().copied()?.into(),
    };
    let &[_, _, p0, p1] = frame.get(shape.udp()..)?.first_chunk()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1])))
}

/// Changes the request in `frame`, whose headers are unchanged, as if it had gone to `destination` and, if
/// `port` is given, come from that port of its source. The reply made from it then leaves from `destination`
/// and goes to `port`.
///
/// `None` if the frame is too short, or `destination` is of the other IP version.
#[cfg(feature = "alloc")]
pub(crate) fn divert(
    frame: &mut [u8],
    shape: Shape,
    destination: SocketAddr,
    port: Option<u16>,
) -> Option<()> {
    let ip = frame.get_mut(shape.ip()..shape.udp())?;
    match (shape.version(), destination.ip()) {
        (Version::V4, IpAddr::V4(address)) => {
            ip.get_mut(field::IPV4_ADDRESSES + 4..)?.copy_from_slice(&address.octets());
        }
        (Version::V6, IpAddr::V6(address)) => {
            ip.get_mut(field::IPV6_ADDRESSES + 16..)?.copy_from_slice(&address.octets());
        }
        _ => return None,
    }
    let ports: &mut [u8; 4] = frame.get_mut(shape.udp()..)?.first_chunk_mut()?;
    let [s0, s1] = port.map_or([ports[0], ports[1]], u16::to_be_bytes);
    let [d0, d1] = destination.port().to_be_bytes();
    *ports = [s0, s1, d0, d1];
    Some(())
}
