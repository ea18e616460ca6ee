//! Decides which frames are certainly for a served endpoint.
//!
//! [`classify`] is the only place that decides. The XDP program runs it in the kernel on a packet pointer;
//! the worker, the tests and the fuzzers run it on a slice. Any frame that is not certainly ours goes to the
//! kernel's stack untouched, where ordinary sockets serve it if it is STUN.

use crate::enumeration;
use core::cmp::Ordering;

/// Longest frame that is redirected, in bytes from the destination MAC: a UMEM frame of 2,048 bytes without
/// the kernel's 256 bytes of headroom (XDP_PACKET_HEADROOM). An unfragmented STUN request is far shorter.
pub const MAX_FRAME: usize = 2048 - 256;

/// Words of a bitmap of ports: bit `port % 64` of word `port / 64` stands for `port`.
pub const PORT_WORDS: u32 = 65_536 / 64;

/// A served address and port: the key of the XDP program's hash map. The bytes are the address (IPv4 in the
/// last four of its 16), the port, the IP version and a zero, all in network order. Held in words, with which the XDP
/// program builds it: in bytes, its zeros would be a loop.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint([u32; 5]);

impl Ord for Endpoint {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_bytes().cmp(&other.to_bytes())
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Endpoint {
    /// Key of an IPv4 address and port.
    #[inline(always)]
    pub const fn v4(address: [u8; 4], port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        Endpoint([0, 0, 0, u32::from_ne_bytes(address), u32::from_ne_bytes([high, low, 4, 0])])
    }

    /// Key of an IPv6 address and port.
    #[inline(always)]
    pub const fn v6(address: [u8; 16], port: u16) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
        let [high, low] = port.to_be_bytes();
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p], [high, low, 6, 0]];
        let [w0, w1, w2, w3, w4] = words;
        Endpoint([
            u32::from_ne_bytes(w0),
            u32::from_ne_bytes(w1),
            u32::from_ne_bytes(w2),
            u32::from_ne_bytes(w3),
            u32::from_ne_bytes(w4),
        ])
    }

    /// The key as the map holds it.
    #[inline(always)]
    pub const fn to_bytes(self) -> [u8; 20] {
        let [w0, w1, w2, w3, w4] = self.0;
        let [a, b, c, d] = w0.to_ne_bytes();
        let [e, f, g, h] = w1.to_ne_bytes();
        let [i, j, k, l] = w2.to_ne_bytes();
        let [m, n, o, p] = w3.to_ne_bytes();
        let [high, low, version, zero] = w4.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, high, low, version, zero]
    }

    /// A key read back from the map.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, high, low, version, zero] = bytes;
        Endpoint([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
            u32::from_ne_bytes([high, low, version, zero]),
        ])
    }
}

enumeration! {
    /// What the XDP program decides about a frame. The index is that of the verdict's counter in the
    /// program's map.
    pub enum Verdict {
        /// For a served endpoint: redirected to the AF_XDP socket of the queue.
        Redirect = ("redirect"),
        /// A plain request to a served endpoint: answered by the program itself (XDP_TX).
        Answered = ("answered"),
        /// A plain request that the program could have answered, had the frame's buffer room for the reply:
        /// redirected.
        RedirectNoRoom = ("redirect_no_room"),
        /// For a served endpoint, but the queue has no AF_XDP socket.
        NoSocket = ("no_socket"),
        /// Shorter than its headers or its IP datagram.
        Truncated = ("truncated"),
        /// Addressed to the MAC of another host, or to a group.
        OtherHost = ("other_host"),
        /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
        NotIp = ("not_ip"),
        /// More than one VLAN tag.
        VlanDepth = ("vlan_depth"),
        /// An IPv4 fragment.
        Fragment = ("fragment"),
        /// An IPv4 header with options.
        IpOptions = ("ip_options"),
        /// An IPv6 header followed by an extension header.
        ExtensionHeader = ("extension_header"),
        /// IP, but not UDP.
        NotUdp = ("not_udp"),
        /// UDP to a port that is not served.
        OtherPort = ("other_port"),
        /// UDP to a port that is served on another address.
        OtherAddress = ("other_address"),
        /// The UDP length is not the length of the IP payload.
        BadLength = ("bad_length"),
        /// Longer than [`MAX_FRAME`].
        TooLong = ("too_long"),
        /// For a served endpoint, but spread over several buffers.
        MultiBuffer = ("multi_buffer"),
    }
    columns {
        /// Name in metrics and in the counters printed at exit.
        name: &'static str,
    }
}

/// Bounds-checked reading of a frame.
pub trait ReadFrame {
    /// Whether the frame has at least `end` bytes.
    fn holds(&self, end: usize) -> bool;
    /// The `N` bytes at `offset`; `None` if the frame is shorter.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
}

impl ReadFrame for [u8] {
    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.len() >= end
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..offset.checked_add(N)?)?.first_chunk()
    }
}

/// What is served on the interface that received the frame.
pub trait Serves {
    /// What is known about an endpoint beside that it is served.
    type Entry;
    /// Whether frames to this hardware address are for this interface.
    fn mac(&self, address: &[u8; 6]) -> bool;
    /// Checks that exactly this endpoint, whose port is `port`, is served, and returns its entry.
    ///
    /// # Errors
    /// [`Verdict::OtherPort`] if no address is served on the port, which ends most UDP traffic; otherwise
    /// [`Verdict::OtherAddress`].
    fn endpoint(&self, endpoint: &Endpoint, port: u16) -> Result<Self::Entry, Verdict>;
}

/// IP version of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

/// The headers before the UDP header, which determine every offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Ethernet, IPv4.
    V4,
    /// Ethernet, IPv6.
    V6,
    /// Ethernet, VLAN tag, IPv4.
    TaggedV4,
    /// Ethernet, VLAN tag, IPv6.
    TaggedV6,
}

impl Shape {
    /// IP version.
    #[inline(always)]
    pub const fn version(self) -> Version {
        match self {
            Shape::V4 | Shape::TaggedV4 => Version::V4,
            Shape::V6 | Shape::TaggedV6 => Version::V6,
        }
    }

    /// Offset of the IP header.
    #[inline(always)]
    pub const fn ip(self) -> usize {
        match self {
            Shape::V4 | Shape::V6 => UNTAGGED,
            Shape::TaggedV4 | Shape::TaggedV6 => TAGGED,
        }
    }

    /// Offset of the UDP header.
    #[inline(always)]
    pub const fn udp(self) -> usize {
        self.ip()
            + match self.version() {
                Version::V4 => IPV4_HEADER,
                Version::V6 => IPV6_HEADER,
            }
    }

    #[inline(always)]
    const fn of(version: Version, ip: usize) -> Self {
        match (version, ip) {
            (Version::V4, UNTAGGED) => Shape::V4,
            (Version::V6, UNTAGGED) => Shape::V6,
            (Version::V4, _) => Shape::TaggedV4,
            (Version::V6, _) => Shape::TaggedV6,
        }
    }
}

/// A datagram for a served endpoint, as it stands in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The headers before the UDP header.
    pub shape: Shape,
    /// UDP length in bytes: the header of 8 bytes and the payload.
    pub udp_length: u16,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// Offset of the EtherType of a frame without tag.
const ETHERTYPE: usize = 12;
const VLAN_TAG: usize = 4;
/// Offset of the IP header of a frame without VLAN tag.
const UNTAGGED: usize = ETHERTYPE + 2;
/// The same behind a tag.
const TAGGED: usize = UNTAGGED + VLAN_TAG;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;
const IPV4_VERSION_AND_LENGTH: u8 = 0x45;
/// More-fragments flag and fragment offset; the don't-fragment flag is not among them.
const IPV4_FRAGMENT: u16 = 0x3fff;

/// Decides whether `frame` is certainly a datagram for a served endpoint: at most one VLAN tag, IPv4 without
/// options and unfragmented or IPv6 without extension headers, and UDP whose length is that of the IP
/// payload. Returns the datagram and the endpoint's entry.
///
/// Ignores checksums and source addresses: the worker drops and counts a datagram for us that is wrong there.
///
/// # Errors
/// The reason why the frame belongs to the kernel's stack.
#[inline(always)]
pub fn classify<F: ReadFrame + ?Sized, S: Serves + ?Sized>(
    frame: &F,
    served: &S,
) -> Result<(Datagram, S::Entry), Verdict> {
    // The start of the IP header is a constant on each path, so that neither the verifier nor the host's
    // compiler has to follow a variable offset.
    let found = match frame.bytes(ETHERTYPE).copied().map(u16::from_be_bytes) {
        Some(ETHERTYPE_IPV4) => ipv4::<_, _, UNTAGGED>(frame, served)?,
        Some(ETHERTYPE_IPV6) => ipv6::<_, _, UNTAGGED>(frame, served)?,
        Some(ethertype) if is_vlan(ethertype) => {
            match frame.bytes(ETHERTYPE + VLAN_TAG).copied().map(u16::from_be_bytes) {
                Some(ETHERTYPE_IPV4) => ipv4::<_, _, TAGGED>(frame, served)?,
                Some(ETHERTYPE_IPV6) => ipv6::<_, _, TAGGED>(frame, served)?,
                Some(ethertype) if is_vlan(ethertype) => return Err(Verdict::VlanDepth),
                Some(_) => return Err(Verdict::NotIp),
                None => return Err(Verdict::Truncated),
            }
        }
        Some(_) => return Err(Verdict::NotIp),
        None => return Err(Verdict::Truncated),
    };
    if frame.holds(MAX_FRAME + 1) {
        return Err(Verdict::TooLong);
    }
    Ok(found)
}

/// Whether the frame is addressed to this interface alone.
#[inline(always)]
fn for_this_host<F: ReadFrame + ?Sized, S: Serves + ?Sized>(frame: &F, served: &S) -> Result<(), Verdict> {
    match frame.bytes(0) {
        Some(mac) if served.mac(mac) => Ok(()),
        Some(_) => Err(Verdict::OtherHost),
        None => Err(Verdict::Truncated),
    }
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN
}

#[inline(always)]
fn ipv4<F: ReadFrame + ?Sized, S: Serves + ?Sized, const IP: usize>(
    frame: &F,
    served: &S,
) -> Result<(Datagram, S::Entry), Verdict> {
    for_this_host(frame, served)?;
    let header: &[u8; IPV4_HEADER] = frame.bytes(IP).ok_or(Verdict::Truncated)?;
    if header[0] != IPV4_VERSION_AND_LENGTH || header[9] != PROTOCOL_UDP || is_fragment(header) {
        return Err(why_not_plain(header));
    }
    let total = u16::from_be_bytes([header[2], header[3]]);
    let address = [header[16], header[17], header[18], header[19]];
    let shape = Shape::of(Version::V4, IP);
    let (port, udp_length) = udp_header(frame, shape.udp())?;
    let entry = served.endpoint(&Endpoint::v4(address, port), port)?;
    Ok((finish(frame, shape, udp_length, total.wrapping_sub(IPV4_HEADER as u16))?, entry))
}

/// The reason why an IPv4 header is not one of 20 bytes before an unfragmented UDP datagram.
#[inline(always)]
const fn why_not_plain(header: &[u8; IPV4_HEADER]) -> Verdict {
    if header[0] >> 4 != 4 {
        Verdict::NotIp
    } else if header[9] != PROTOCOL_UDP {
        Verdict::NotUdp
    } else if is_fragment(header) {
        Verdict::Fragment
    } else {
        Verdict::IpOptions
    }
}

#[inline(always)]
const fn is_fragment(header: &[u8; IPV4_HEADER]) -> bool {
    u16::from_be_bytes([header[6], header[7]]) & IPV4_FRAGMENT != 0
}

#[inline(always)]
fn ipv6<F: ReadFrame + ?Sized, S: Serves + ?Sized, const IP: usize>(
    frame: &F,
    served: &S,
) -> Result<(Datagram, S::Entry), Verdict> {
    for_this_host(frame, served)?;
    let header: &[u8; 8] = frame.bytes(IP).ok_or(Verdict::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Verdict::NotIp);
    }
    match header[6] {
        PROTOCOL_UDP => {}
        // Hop-by-hop, routing, fragment, ESP, AH, destination options, mobility, HIP, shim6
        // (IANA's IPv6 extension header types).
        0 | 43 | 44 | 50 | 51 | 60 | 135 | 139 | 140 => return Err(Verdict::ExtensionHeader),
        _ => return Err(Verdict::NotUdp),
    }
    let payload = u16::from_be_bytes([header[4], header[5]]);
    let address: &[u8; 16] = frame.bytes(IP + 24).ok_or(Verdict::Truncated)?;
    let shape = Shape::of(Version::V6, IP);
    let (port, udp_length) = udp_header(frame, shape.udp())?;
    let entry = served.endpoint(&Endpoint::v6(*address, port), port)?;
    Ok((finish(frame, shape, udp_length, payload)?, entry))
}

/// Returns the destination port and the UDP length.
#[inline(always)]
fn udp_header<F: ReadFrame + ?Sized>(frame: &F, udp: usize) -> Result<(u16, u16), Verdict> {
    let header: &[u8; UDP_HEADER] = frame.bytes(udp).ok_or(Verdict::Truncated)?;
    let port = u16::from_be_bytes([header[2], header[3]]);
    Ok((port, u16::from_be_bytes([header[4], header[5]])))
}

#[inline(always)]
fn finish<F: ReadFrame + ?Sized>(
    frame: &F,
    shape: Shape,
    udp_length: u16,
    ip_payload: u16,
) -> Result<Datagram, Verdict> {
    if udp_length != ip_payload || usize::from(udp_length) < UDP_HEADER {
        return Err(Verdict::BadLength);
    }
    if !frame.holds(shape.udp() + usize::from(udp_length)) {
        return Err(Verdict::Truncated);
    }
    Ok(Datagram { shape, udp_length })
}

#[cfg(test)]
mod tests;
