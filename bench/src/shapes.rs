//! The requests that real clients send, each as the frame that a NIC would receive.

use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader, VlanId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use xstun_core::{served::Served, stun::REPLY_ROOM};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PORT: u16 = 3478;
const CLIENT_IPV4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
const CLIENT_PORT: u16 = 40_000;
const HOP_LIMIT: u8 = 57;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const CLASSIC: [u8; 4] = [0x5d, 0x03, 0x91, 0x7e];
const USERNAME: u16 = 0x0006;
const CHANGE_REQUEST: u16 = 0x0003;
const PRIORITY: u16 = 0x0024;
const SOFTWARE: u16 = 0x8022;
const ICE_CONTROLLING: u16 = 0x802a;
const FINGERPRINT: u16 = 0x8028;
/// A comprehension-required type that no RFC assigns.
const UNKNOWN: u16 = 0x7abc;

/// A request of one kind.
#[derive(Clone, Debug)]
pub struct BenchRequest {
    /// Name in the tables of results.
    pub name: &'static str,
    /// The frame, from the destination MAC address to the end of the datagram.
    pub frame: Vec<u8>,
    /// Offset of the STUN message in `frame`.
    pub message: usize,
    /// The endpoint that sent it.
    pub source: SocketAddr,
}

impl BenchRequest {
    /// A buffer as a worker has it: the frame, followed by room for any reply.
    pub fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.frame.clone();
        buffer.resize(self.message + REPLY_ROOM.max(self.frame.len() - self.message) + REPLY_ROOM, 0);
        buffer
    }

    /// The STUN message, followed by the same room.
    pub fn message_buffer(&self) -> Vec<u8> {
        self.buffer().split_off(self.message)
    }

    /// Length of the STUN message in bytes.
    pub fn message_length(&self) -> usize {
        self.frame.len() - self.message
    }
}

/// What the server serves: one address of each IP version, as on most hosts. It refuses these and the network's
/// broadcast address as sources.
pub fn served() -> Served {
    let own = [IpAddr::V4(IPV4), IpAddr::V6(IPV6)];
    let broadcast = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255));
    Served::new(MAC, own.map(|address| (address, PORT)), own.into_iter().chain([broadcast]))
}

/// The IPv4 endpoint that is served, as the destination of messages. The core reads a destination for NAT behaviour
/// discovery only.
pub fn destination() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(IPV4), PORT)
}

/// Every request that is measured, the simplest first.
pub fn all() -> Vec<BenchRequest> {
    let bare = request(COOKIE, &[]);
    let fingerprint = with_fingerprint(request(COOKIE, &[]));
    let software = request(COOKIE, &[(SOFTWARE, b"libjuice")]);
    let software = with_fingerprint(software);
    let ice = [
        (USERNAME, b"a1b2:c3d4".as_slice()),
        (PRIORITY, &[0x6e, 0x7f, 0x1e, 0xff]),
        (ICE_CONTROLLING, &[7; 8]),
    ];
    let unserved = {
        let mut shape = shape("not for us", Headers::V4, &bare);
        // The last byte of the destination address.
        shape.frame[33] = 9;
        shape
    };
    vec![
        shape("IPv4 bare", Headers::V4, &bare),
        shape("IPv6 bare", Headers::V6, &bare),
        shape("IPv4 bare, VLAN", Headers::V4Vlan, &bare),
        shape("IPv4 FINGERPRINT", Headers::V4, &fingerprint),
        shape("IPv6 FINGERPRINT", Headers::V6, &fingerprint),
        shape("IPv4 SOFTWARE and FINGERPRINT", Headers::V4, &software),
        shape("IPv4 SOFTWARE", Headers::V4, &request(COOKIE, &[(SOFTWARE, b"ice4j.org")])),
        shape("IPv4 ICE attributes and FINGERPRINT", Headers::V4, &with_fingerprint(request(COOKIE, &ice))),
        shape("IPv4 CHANGE-REQUEST, no flag", Headers::V4, &request(COOKIE, &[(CHANGE_REQUEST, &[0; 4])])),
        shape("IPv4 classic", Headers::V4, &request(CLASSIC, &[])),
        shape("IPv4 classic, CHANGE-REQUEST", Headers::V4, &request(CLASSIC, &[(CHANGE_REQUEST, &[0; 4])])),
        shape("IPv4 unknown attribute", Headers::V4, &request(COOKIE, &[(UNKNOWN, &[1, 2, 3, 4])])),
        unserved,
    ]
}

/// The headers in front of a message.
#[derive(Clone, Copy)]
enum Headers {
    V4,
    V6,
    V4Vlan,
}

fn shape(name: &'static str, headers: Headers, message: &[u8]) -> BenchRequest {
    let ethernet = || PacketBuilder::ethernet2(CLIENT_MAC, MAC);
    let v4 = (CLIENT_IPV4.octets(), IPV4.octets());
    let (packet, client): (PacketBuilderStep<UdpHeader>, IpAddr) = match headers {
        Headers::V4 => (ethernet().ipv4(v4.0, v4.1, HOP_LIMIT).udp(CLIENT_PORT, PORT), CLIENT_IPV4.into()),
        Headers::V6 => (
            ethernet().ipv6(CLIENT_IPV6.octets(), IPV6.octets(), HOP_LIMIT).udp(CLIENT_PORT, PORT),
            CLIENT_IPV6.into(),
        ),
        Headers::V4Vlan => {
            let tag = VlanId::try_new(7).expect("a constant below 4096");
            (
                ethernet().single_vlan(tag).ipv4(v4.0, v4.1, HOP_LIMIT).udp(CLIENT_PORT, PORT),
                CLIENT_IPV4.into(),
            )
        }
    };
    let mut frame = Vec::with_capacity(packet.size(message.len()));
    packet.write(&mut frame, message).expect("a message far shorter than 64 KiB, into memory");
    let message = frame.len() - message.len();
    BenchRequest { name, frame, message, source: SocketAddr::new(client, CLIENT_PORT) }
}

/// A Binding request with these attributes. `cookie` is [`COOKIE`] or, in a classic request, any other four bytes.
fn request(cookie: [u8; 4], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0x00, 0x01, 0x00, 0x00];
    message.extend(cookie);
    message.extend([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
    for (kind, value) in attributes {
        append(&mut message, *kind, value);
    }
    message
}

/// Appends an attribute with its padding, and corrects the message's length.
fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// The message with a correct FINGERPRINT (RFC 8489 §14.7) at its end.
fn with_fingerprint(mut message: Vec<u8>) -> Vec<u8> {
    append(&mut message, FINGERPRINT, &[0; 4]);
    let value = message.len() - 4;
    let fingerprint = crc32(&message[..value - 4]) ^ 0x5354_554e;
    message[value..].copy_from_slice(&fingerprint.to_be_bytes());
    message
}

/// Computes the CRC-32 of ITU-T V.42 bit by bit, without the code that is measured.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::{all, destination, served};
    use xstun_core::answer::answer;
    use xstun_core::outcome::Outcome;
    use xstun_core::stun::{Exchange, Policy, respond};

    #[test]
    fn every_shape_has_the_outcome_that_its_name_says() {
        for shape in all() {
            let mut buffer = shape.buffer();
            let outcome = answer(&mut buffer, shape.frame.len(), &served(), &Policy::default()).outcome;
            let expected = match shape.name {
                "not for us" => Outcome::NotServed,
                name if name.contains("unknown") => Outcome::UnknownAttribute,
                name if name.contains("classic") => Outcome::AnsweredClassic,
                _ => Outcome::Answered,
            };
            assert_eq!(outcome, expected, "{}", shape.name);
        }
    }

    #[test]
    fn message_and_frame_of_a_shape_get_the_same_reply() {
        for shape in all().into_iter().filter(|shape| shape.name != "not for us") {
            let mut frame = shape.buffer();
            let mut message = shape.message_buffer();
            let frame_answer = answer(&mut frame, shape.frame.len(), &served(), &Policy::default());
            let exchange = Exchange::datagram(&shape.source, destination);
            let message_answer = respond(&mut message, shape.message_length(), exchange, &Policy::default());
            assert_eq!(frame_answer.outcome, message_answer.outcome, "{}", shape.name);
            let reply = &frame[shape.message..frame_answer.length];
            assert_eq!(reply, &message[..message_answer.length], "{}", shape.name);
        }
    }
}
