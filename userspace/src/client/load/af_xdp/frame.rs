//! Requests as frames, and replies out of frames. A frame is built once for each shape; what changes
//! from one request to the next is patched in, and its checksums are carried on from a sum that holds
//! all the rest.

use crate::client::load::plan::Flow;
use crate::client::load::shape::{Mix, Request};
use crate::error::{Failure, Result};
use etherparse::PacketBuilder;
use std::net::{IpAddr, SocketAddr};
use xstun_ebpf::{Datagram, Version};

/// TTL and hop limit: what Linux sets.
const HOPS: u8 = 64;
const UDP_HEADER: usize = 8;
/// Offset of the transaction ID in a STUN message.
const ID: usize = 8;
/// Offsets in the IPv4 and IPv6 headers.
const V4_CHECKSUM: usize = 10;
const V4_SOURCE: usize = 12;
const V6_SOURCE: usize = 8;

/// Where frames go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) own_mac: [u8; 6],
    pub(super) next_hop: [u8; 6],
    pub(super) server: SocketAddr,
}

/// Frames of a plan: one for each shape, and what each flow changes of it.
pub(super) struct Frames {
    shapes: Vec<Template>,
    sources: Vec<Source>,
    /// Offset of the IP header's source address.
    address: usize,
    /// Offset of the UDP header.
    udp: usize,
}

struct Template {
    /// The frame with a source address, source port, transaction ID, FINGERPRINT and checksums of zero.
    bytes: Vec<u8>,
    request: Request,
    /// Sum of the IPv4 header.
    ip: u64,
    /// Sum of the UDP datagram and its pseudo header.
    datagram: u64,
}

/// A flow's own bytes.
struct Source {
    address: IpAddr,
    port: [u8; 2],
    /// Sum of the address.
    sum: u64,
}

impl Frames {
    /// For the flows and shapes of a plan.
    ///
    /// # Errors
    /// etherparse finds no frame possible: server and sources are of different families.
    pub(super) fn new(to: &Destination, flows: &[Flow], mix: &Mix) -> Result<Self> {
        let ip_header = if to.server.is_ipv4() { 20 } else { 40 };
        let udp = 14 + ip_header;
        let address = 14 + if to.server.is_ipv4() { V4_SOURCE } else { V6_SOURCE };
        let shapes = mix.requests.iter().map(|request| Template::new(to, request, udp));
        let sources = flows.iter().map(|flow| {
            let sum = match flow.source.ip() {
                IpAddr::V4(ip) => sum(&ip.octets()),
                IpAddr::V6(ip) => sum(&ip.octets()),
            };
            Source { address: flow.source.ip(), port: flow.source.port().to_be_bytes(), sum }
        });
        Ok(Frames { shapes: shapes.collect::<Result<_>>()?, sources: sources.collect(), address, udp })
    }

    /// Writes a request of this shape, from this flow and with this transaction ID, to the start of
    /// `frame`; gives the frame's length.
    #[inline]
    pub(super) fn write(&self, frame: &mut [u8], shape: usize, flow: usize, id: &[u8; 12]) -> usize {
        let (template, source) = (&self.shapes[shape], &self.sources[flow]);
        let length = template.bytes.len();
        let frame = &mut frame[..length];
        frame.copy_from_slice(&template.bytes);
        match source.address {
            IpAddr::V4(ip) => {
                frame[self.address..self.address + 4].copy_from_slice(&ip.octets());
                let checksum = !fold(template.ip + source.sum);
                frame[14 + V4_CHECKSUM..14 + V4_CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
            }
            IpAddr::V6(ip) => frame[self.address..self.address + 16].copy_from_slice(&ip.octets()),
        }
        frame[self.udp..self.udp + 2].copy_from_slice(&source.port);
        let transaction = self.udp + UDP_HEADER + ID;
        frame[transaction..transaction + 12].copy_from_slice(id);
        let port = u64::from(u16::from_be_bytes(source.port));
        let mut datagram = template.datagram + source.sum + port + sum(id);
        if let Some(value) = template.request.fingerprint(id) {
            frame[length - 4..].copy_from_slice(&value.to_be_bytes());
            datagram += u64::from(value >> 16) + u64::from(value & 0xffff);
        }
        // RFC 768: a checksum of 0 would mean that there is none.
        let checksum = match !fold(datagram) {
            0 => 0xffff,
            checksum => checksum,
        };
        frame[self.udp + 6..self.udp + 8].copy_from_slice(&checksum.to_be_bytes());
        length
    }
}

impl Template {
    fn new(to: &Destination, request: &Request, udp: usize) -> Result<Self> {
        let link = PacketBuilder::ethernet2(to.own_mac, to.next_hop);
        let net = match to.server.ip() {
            IpAddr::V4(ip) => link.ipv4([0; 4], ip.octets(), HOPS),
            IpAddr::V6(ip) => link.ipv6([0; 16], ip.octets(), HOPS),
        };
        let mut bytes = Vec::new();
        net.udp(0, to.server.port()).write_to_vec(&mut bytes, &request.bytes).map_err(|error| {
            Failure::system(format!("cannot build a frame for {}", to.server)).because(error)
        })?;
        bytes[udp + 6..udp + 8].fill(0);
        let destination = match to.server.ip() {
            IpAddr::V4(ip) => {
                bytes[14 + V4_CHECKSUM..14 + V4_CHECKSUM + 2].fill(0);
                sum(&ip.octets())
            }
            IpAddr::V6(ip) => sum(&ip.octets()),
        };
        let ip = sum(&bytes[14..udp]);
        let datagram = destination + PROTOCOL_UDP + (bytes.len() - udp) as u64 + sum(&bytes[udp..]);
        Ok(Template { bytes, request: request.clone(), ip, datagram })
    }
}

const PROTOCOL_UDP: u64 = 17;

/// A reply in a frame.
pub(super) struct Reply<'a> {
    pub(super) from: SocketAddr,
    /// This host's address and port.
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
}

/// Reads a frame that was found to hold a datagram for this host. `None` if a checksum in it is wrong.
/// One that a local sender with transmit offload only began, which then is the pseudo header's sum, is
/// right.
#[inline]
pub(super) fn read<'a>(frame: &'a [u8], datagram: &Datagram) -> Option<Reply<'a>> {
    let (version, ip, udp) = (datagram.shape.version(), datagram.shape.ip(), datagram.shape.udp());
    let udp_length = usize::from(datagram.udp_length);
    let (header, udp) = (frame.get(ip..udp)?, frame.get(udp..udp + udp_length)?);
    let &[s0, s1, d0, d1, _, _, c0, c1, ref payload @ ..] = udp else { return None };
    let address = |at: usize| -> Option<IpAddr> {
        Some(match version {
            Version::V4 => <[u8; 4]>::try_from(header.get(at..at + 4)?).ok()?.into(),
            Version::V6 => <[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?.into(),
        })
    };
    let (source, length) = match version {
        Version::V4 => (V4_SOURCE, 4),
        Version::V6 => (V6_SOURCE, 16),
    };
    if version == Version::V4 && fold(sum(header)) != 0xffff {
        return None;
    }
    let told = u16::from_be_bytes([c0, c1]);
    let pseudo = sum(header.get(source..source + 2 * length)?) + PROTOCOL_UDP + udp_length as u64;
    // RFC 768 allows none over IPv4, RFC 8200 §8.1 demands one over IPv6.
    let absent = told == 0 && version == Version::V4;
    if !absent && fold(pseudo + sum(udp)) != 0xffff && told != fold(pseudo) {
        return None;
    }
    Some(Reply {
        from: SocketAddr::new(address(source)?, u16::from_be_bytes([s0, s1])),
        to: SocketAddr::new(address(source + length)?, u16::from_be_bytes([d0, d1])),
        payload,
    })
}

/// Sum of the 16-bit words, in network order, of some bytes (RFC 1071); an odd last byte counts as if a
/// zero followed.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // Four bytes at once: 2^16 and 1 are the same in ones' complement.
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

/// A sum in 16 bits.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests;
