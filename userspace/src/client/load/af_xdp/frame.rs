//! Requests in frames, and replies from frames. Each shape has one frame, built once. Each request patches
//! its own bytes into a copy, and updates the checksums from the sum of all other bytes.

use crate::client::load::plan::LoadFlow;
use crate::client::load::shape::{RequestTemplate, ShapeMix};
use crate::error::{Failure, Result};
use etherparse::PacketBuilder;
use std::net::{IpAddr, SocketAddr};
use xstun_core::classify::{Datagram, Version};

/// TTL and hop limit; the default of Linux.
const HOPS: u8 = 64;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u64 = 17;
/// Offset of the transaction ID in a STUN message.
const ID: usize = 8;
/// Offsets in the IPv4 and IPv6 headers.
const V4_CHECKSUM: usize = 10;
const V4_SOURCE: usize = 12;
const V6_SOURCE: usize = 8;

/// The addresses that all frames share.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameAddresses {
    pub(super) own_mac: [u8; 6],
    pub(super) next_hop: [u8; 6],
    pub(super) server: SocketAddr,
}

/// The frames of a plan: one for each shape, and what each flow changes in it.
pub(super) struct FrameTemplates {
    shapes: Vec<Template>,
    sources: Vec<FlowSource>,
    /// Offset of the IP header's source address.
    address: usize,
    /// Offset of the UDP header.
    udp: usize,
}

struct Template {
    /// The frame, with zeros for source address, source port, transaction ID, FINGERPRINT and checksums.
    bytes: Vec<u8>,
    request: RequestTemplate,
    /// Sum of the 16-bit words of the IPv4 header.
    ip: u64,
    /// Sum of the 16-bit words of the UDP datagram and its pseudo-header.
    datagram: u64,
}

/// The bytes that a flow changes.
struct FlowSource {
    address: IpAddr,
    port: [u8; 2],
    /// Sum of the 16-bit words of the address.
    sum: u64,
}

impl FrameTemplates {
    /// Builds the frames for the flows and shapes of a plan.
    ///
    /// # Errors
    /// System: etherparse cannot build a frame.
    pub(super) fn new(to: &FrameAddresses, flows: &[LoadFlow], mix: &ShapeMix) -> Result<Self> {
        let ip_header = if to.server.is_ipv4() { 20 } else { 40 };
        let udp = 14 + ip_header;
        let address = 14 + if to.server.is_ipv4() { V4_SOURCE } else { V6_SOURCE };
        let shapes = mix.requests.iter().map(|request| Template::new(to, request, udp));
        let sources = flows.iter().map(|flow| {
            let sum = match flow.source.ip() {
                IpAddr::V4(ip) => sum(&ip.octets()),
                IpAddr::V6(ip) => sum(&ip.octets()),
            };
            FlowSource { address: flow.source.ip(), port: flow.source.port().to_be_bytes(), sum }
        });
        Ok(FrameTemplates {
            shapes: shapes.collect::<Result<_>>()?,
            sources: sources.collect(),
            address,
            udp,
        })
    }

    /// Writes a request of this shape, from this flow and with this transaction ID, to the start of
    /// `frame`. Returns the frame's length.
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
        // A checksum of 0 means that there is none (RFC 768).
        let checksum = match !fold(datagram) {
            0 => 0xffff,
            checksum => checksum,
        };
        frame[self.udp + 6..self.udp + 8].copy_from_slice(&checksum.to_be_bytes());
        length
    }
}

impl Template {
    fn new(to: &FrameAddresses, request: &RequestTemplate, udp: usize) -> Result<Self> {
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

/// A datagram from a frame.
pub(super) struct ReplyDatagram<'a> {
    pub(super) from: SocketAddr,
    /// This host's address and port.
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
}

/// Parses the datagram that `classify` found in a frame. `None` if one of its checksums is wrong. The
/// unfinished checksum of a local sender with transmit offload, the sum of the pseudo-header, is valid.
#[inline]
pub(super) fn parse<'a>(frame: &'a [u8], datagram: &Datagram) -> Option<ReplyDatagram<'a>> {
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
    let received = u16::from_be_bytes([c0, c1]);
    let pseudo = sum(header.get(source..source + 2 * length)?) + PROTOCOL_UDP + udp_length as u64;
    // RFC 768 makes it optional over IPv4, RFC 8200 §8.1 requires it over IPv6.
    let absent = received == 0 && version == Version::V4;
    if !absent && fold(pseudo + sum(udp)) != 0xffff && received != fold(pseudo) {
        return None;
    }
    Some(ReplyDatagram {
        from: SocketAddr::new(address(source)?, u16::from_be_bytes([s0, s1])),
        to: SocketAddr::new(address(source + length)?, u16::from_be_bytes([d0, d1])),
        payload,
    })
}

/// Returns the sum of the 16-bit words in network order (RFC 1071). An odd last byte is padded with zero.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // Four bytes at a time: in ones' complement, 2^16 equals 1.
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

/// Folds a sum into 16 bits.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests;
