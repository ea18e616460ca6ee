//! What the XDP program and user space must agree on: which frames are ours, and the names and
//! layouts of the maps between them.
//!
//! [`classify`] is the only place that decides. The XDP program runs it in the kernel over a packet
//! pointer; the worker, the tests and the fuzzers run it over a slice. A frame is ours only when
//! that is certain; every other frame goes to the kernel's stack untouched, and ordinary sockets
//! serve what of it is STUN.
#![no_std]

/// Name of the XDP program for kernels that know multi-buffer frames (Linux 5.18 and later). It
/// attaches to interfaces of any MTU.
pub const PROGRAM_FRAGS: &str = "xstun_frags";
/// Name of the same program for older kernels, without the multi-buffer promise.
pub const PROGRAM_LINEAR: &str = "xstun_linear";
/// XSKMAP: receive queue -> AF_XDP socket. An empty slot passes the queue's frames to the stack.
pub const MAP_SOCKETS: &str = "XSTUN_SOCKETS";
/// Hash: [`Endpoint`] -> 1, every address and port that is answered on this interface.
pub const MAP_SERVED: &str = "XSTUN_SERVED";
/// Array of [`PORT_WORDS`] words: bit `port % 64` of word `port / 64` is set for a served port.
pub const MAP_PORTS: &str = "XSTUN_PORTS";
/// Array of one [`Mac`]: the interface's own hardware address.
pub const MAP_MAC: &str = "XSTUN_MAC";
/// Per-CPU array of `u64`, indexed by [`Verdict`].
pub const MAP_VERDICTS: &str = "XSTUN_VERDICTS";

/// Capacity of [`MAP_SOCKETS`] unless the loader sets the interface's own number of queues.
pub const MAX_QUEUES: u32 = 256;
/// Capacity of [`MAP_SERVED`].
pub const MAX_ENDPOINTS: u32 = 4096;
/// Words in [`MAP_PORTS`]: one bit for each of the 65,536 ports.
pub const PORT_WORDS: u32 = 65_536 / 64;

/// Longest frame that is redirected, in bytes from the destination MAC. A UMEM frame of 2,048 bytes
/// less the kernel's 256 bytes of headroom (XDP_PACKET_HEADROOM) holds no more, and no STUN request
/// that a client sends in one fragment comes near it.
pub const MAX_FRAME: usize = 2048 - 256;

/// An Ethernet hardware address, padded to a map value's alignment.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac {
    /// The six bytes as they stand in the frame.
    pub address: [u8; 6],
    padding: [u8; 2],
}

impl Mac {
    /// The map value for `address`.
    pub const fn new(address: [u8; 6]) -> Self {
        Mac { address, padding: [0; 2] }
    }
}

/// A served address and port: the key of [`MAP_SERVED`]. Bytes stand in network order, so host
/// order never reaches a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    address: [u8; 16],
    port: [u8; 2],
    version: u8,
    padding: u8,
}

impl Endpoint {
    /// Key of an IPv4 address and port.
    #[inline(always)]
    pub const fn v4(address: [u8; 4], port: u16) -> Self {
        let mut wide = [0; 16];
        wide[0] = address[0];
        wide[1] = address[1];
        wide[2] = address[2];
        wide[3] = address[3];
        Endpoint { address: wide, port: port.to_be_bytes(), version: 4, padding: 0 }
    }

    /// Key of an IPv6 address and port.
    #[inline(always)]
    pub const fn v6(address: [u8; 16], port: u16) -> Self {
        Endpoint { address, port: port.to_be_bytes(), version: 6, padding: 0 }
    }
}

/// What became of a frame in the XDP program; also the index of its counter in [`MAP_VERDICTS`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Ours: handed to the queue's AF_XDP socket.
    Redirect = 0,
    /// Ours, but no socket sits on this queue.
    NoSocket,
    /// Ended before the headers did, or before the IP datagram did.
    Truncated,
    /// Addressed to another host's MAC, or to a group.
    OtherHost,
    /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
    NotIp,
    /// More than one VLAN tag.
    VlanDepth,
    /// An IPv4 fragment.
    Fragment,
    /// An IPv4 header with options.
    IpOptions,
    /// An IPv6 header followed by an extension header.
    ExtensionHeader,
    /// IP, but not UDP.
    NotUdp,
    /// UDP to a port that is not served.
    OtherPort,
    /// UDP to a served port of an address that is not served here.
    OtherAddress,
    /// The UDP length is not the length of the IP payload.
    BadLength,
    /// Longer than [`MAX_FRAME`].
    TooLong,
    /// Ours, but spread over several buffers.
    MultiBuffer,
}

impl Verdict {
    /// Every verdict, in the order of its index.
    pub const ALL: [Verdict; 15] = [
        Verdict::Redirect,
        Verdict::NoSocket,
        Verdict::Truncated,
        Verdict::OtherHost,
        Verdict::NotIp,
        Verdict::VlanDepth,
        Verdict::Fragment,
        Verdict::IpOptions,
        Verdict::ExtensionHeader,
        Verdict::NotUdp,
        Verdict::OtherPort,
        Verdict::OtherAddress,
        Verdict::BadLength,
        Verdict::TooLong,
        Verdict::MultiBuffer,
    ];

    /// Name as it stands in metrics and in the counters printed at exit.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Redirect => "redirect",
            Verdict::NoSocket => "no_socket",
            Verdict::Truncated => "truncated",
            Verdict::OtherHost => "other_host",
            Verdict::NotIp => "not_ip",
            Verdict::VlanDepth => "vlan_depth",
            Verdict::Fragment => "fragment",
            Verdict::IpOptions => "ip_options",
            Verdict::ExtensionHeader => "extension_header",
            Verdict::NotUdp => "not_udp",
            Verdict::OtherPort => "other_port",
            Verdict::OtherAddress => "other_address",
            Verdict::BadLength => "bad_length",
            Verdict::TooLong => "too_long",
            Verdict::MultiBuffer => "multi_buffer",
        }
    }
}

/// A frame that can be read only within its bounds.
pub trait Frame {
    /// Whether the frame has at least `end` bytes.
    fn holds(&self, end: usize) -> bool;
    /// The `N` bytes at `offset`, or `None` where the frame ends before them.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Frame for [u8] {
    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.len() >= end
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// What is served on the interface where the frame came in.
pub trait Served {
    /// Whether frames to this hardware address are for this interface.
    fn mac(&self, address: &[u8; 6]) -> bool;
    /// Whether any address is served on `port`. Asked first: most UDP traffic ends here.
    fn port(&self, port: u16) -> bool;
    /// Whether exactly this address and port is served.
    fn endpoint(&self, endpoint: &Endpoint) -> bool;
}

/// IP version of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

/// Where the parts of a datagram that is ours stand in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// IP version.
    pub version: Version,
    /// Offset of the IP header: 14, or 18 behind a VLAN tag.
    pub ip: usize,
    /// Offset of the UDP header.
    pub udp: usize,
    /// UDP length: its header of 8 bytes and the payload.
    pub udp_length: usize,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;
const IPV4_VERSION_AND_LENGTH: u8 = 0x45;
/// More-fragments flag and fragment offset; the don't-fragment flag is not among them.
const IPV4_FRAGMENT: u16 = 0x3fff;

/// Decides whether `frame` is certainly a datagram for a served endpoint: one VLAN tag at the most,
/// IPv4 without options and not fragmented or IPv6 without extension headers, UDP whose length is
/// that of the IP payload.
///
/// Checksums and source addresses are not looked at: what is ours and wrong there is dropped and
/// counted by the worker.
///
/// # Errors
/// The reason for which the frame belongs to the kernel's stack.
#[inline(always)]
pub fn classify<F: Frame + ?Sized, S: Served + ?Sized>(frame: &F, served: &S) -> Result<Datagram, Verdict> {
    let (ip, ethertype) = ethernet(frame, served)?;
    let datagram = match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, ip, served)?,
        ETHERTYPE_IPV6 => ipv6(frame, ip, served)?,
        _ => return Err(Verdict::NotIp),
    };
    if frame.holds(MAX_FRAME + 1) {
        return Err(Verdict::TooLong);
    }
    Ok(datagram)
}

/// Offset of what follows the Ethernet header, and its EtherType.
#[inline(always)]
fn ethernet<F: Frame + ?Sized, S: Served + ?Sized>(frame: &F, served: &S) -> Result<(usize, u16), Verdict> {
    let header: [u8; ETHERNET_HEADER] = frame.read(0).ok_or(Verdict::Truncated)?;
    let [d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, t0, t1] = header;
    let ethertype = u16::from_be_bytes([t0, t1]);
    let (offset, ethertype) = if is_vlan(ethertype) {
        let [_, _, t0, t1]: [u8; VLAN_TAG] = frame.read(ETHERNET_HEADER).ok_or(Verdict::Truncated)?;
        (ETHERNET_HEADER + VLAN_TAG, u16::from_be_bytes([t0, t1]))
    } else {
        (ETHERNET_HEADER, ethertype)
    };
    if is_vlan(ethertype) {
        return Err(Verdict::VlanDepth);
    }
    if ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 {
        return Err(Verdict::NotIp);
    }
    if !served.mac(&[d0, d1, d2, d3, d4, d5]) {
        return Err(Verdict::OtherHost);
    }
    Ok((offset, ethertype))
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN
}

#[inline(always)]
fn ipv4<F: Frame + ?Sized, S: Served + ?Sized>(frame: &F, ip: usize, served: &S) -> Result<Datagram, Verdict> {
    let header: [u8; IPV4_HEADER] = frame.read(ip).ok_or(Verdict::Truncated)?;
    if header[0] >> 4 != 4 {
        return Err(Verdict::NotIp);
    }
    if header[9] != PROTOCOL_UDP {
        return Err(Verdict::NotUdp);
    }
    if u16::from_be_bytes([header[6], header[7]]) & IPV4_FRAGMENT != 0 {
        return Err(Verdict::Fragment);
    }
    if header[0] != IPV4_VERSION_AND_LENGTH {
        return Err(Verdict::IpOptions);
    }
    let total = u16::from_be_bytes([header[2], header[3]]) as usize;
    let address = [header[16], header[17], header[18], header[19]];
    let udp = ip + IPV4_HEADER;
    let (port, udp_length) = udp_header(frame, udp, served)?;
    if !served.endpoint(&Endpoint::v4(address, port)) {
        return Err(Verdict::OtherAddress);
    }
    finish(frame, Version::V4, ip, udp, udp_length, total.wrapping_sub(IPV4_HEADER))
}

#[inline(always)]
fn ipv6<F: Frame + ?Sized, S: Served + ?Sized>(frame: &F, ip: usize, served: &S) -> Result<Datagram, Verdict> {
    let header: [u8; 8] = frame.read(ip).ok_or(Verdict::Truncated)?;
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
    let payload = u16::from_be_bytes([header[4], header[5]]) as usize;
    let address: [u8; 16] = frame.read(ip + 24).ok_or(Verdict::Truncated)?;
    let udp = ip + IPV6_HEADER;
    let (port, udp_length) = udp_header(frame, udp, served)?;
    if !served.endpoint(&Endpoint::v6(address, port)) {
        return Err(Verdict::OtherAddress);
    }
    finish(frame, Version::V6, ip, udp, udp_length, payload)
}

/// Destination port, if it is served, and UDP length.
#[inline(always)]
fn udp_header<F: Frame + ?Sized, S: Served + ?Sized>(
    frame: &F,
    udp: usize,
    served: &S,
) -> Result<(u16, usize), Verdict> {
    let header: [u8; UDP_HEADER] = frame.read(udp).ok_or(Verdict::Truncated)?;
    let port = u16::from_be_bytes([header[2], header[3]]);
    if !served.port(port) {
        return Err(Verdict::OtherPort);
    }
    Ok((port, u16::from_be_bytes([header[4], header[5]]) as usize))
}

#[inline(always)]
fn finish<F: Frame + ?Sized>(
    frame: &F,
    version: Version,
    ip: usize,
    udp: usize,
    udp_length: usize,
    ip_payload: usize,
) -> Result<Datagram, Verdict> {
    if udp_length != ip_payload || udp_length < UDP_HEADER {
        return Err(Verdict::BadLength);
    }
    if !frame.holds(udp + udp_length) {
        return Err(Verdict::Truncated);
    }
    Ok(Datagram { version, ip, udp, udp_length })
}

#[cfg(test)]
mod tests;
