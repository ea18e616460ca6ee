//! The classifier over frames that are built byte by byte. `tests/classify.rs` has frames of an independent
//! builder.

use super::*;
use proptest::prelude::*;
use std::{cell::Cell, collections::HashSet, vec, vec::Vec};

const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OWN_IPV4: [u8; 4] = [192, 0, 2, 1];
const OWN_IPV6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PORT: u16 = 3478;
/// A port that is served over IPv6 only.
const PORT_V6: u16 = 5349;

struct Own;

impl Serves for Own {
    type Entry = ();

    fn mac(&self, address: &[u8; 6]) -> bool {
        *address == OWN_MAC
    }

    fn endpoint(&self, endpoint: &Endpoint, port: u16) -> Result<(), Verdict> {
        let own =
            [Endpoint::v4(OWN_IPV4, PORT), Endpoint::v6(OWN_IPV6, PORT), Endpoint::v6(OWN_IPV6, PORT_V6)];
        match own.contains(endpoint) {
            true => Ok(()),
            false if [PORT, PORT_V6].contains(&port) => Err(Verdict::OtherAddress),
            false => Err(Verdict::OtherPort),
        }
    }
}

fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = OWN_MAC.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 2]);
    for tag in tags {
        frame.extend_from_slice(&tag.to_be_bytes());
        frame.extend_from_slice(&[0, 7]);
    }
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut udp = vec![0x9c, 0x40];
    udp.extend_from_slice(&port.to_be_bytes());
    udp.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(payload);
    udp
}

fn ipv4(tags: &[u16], port: u16, payload: &[u8]) -> Vec<u8> {
    let udp = udp(port, payload);
    let mut frame = ethernet(tags, 0x0800);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&(20 + udp.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 1, 0x40, 0, 61, 17, 0, 0, 198, 51, 100, 7]);
    frame.extend_from_slice(&OWN_IPV4);
    frame.extend_from_slice(&udp);
    frame
}

fn ipv6(tags: &[u16], port: u16, payload: &[u8]) -> Vec<u8> {
    let udp = udp(port, payload);
    let mut frame = ethernet(tags, 0x86dd);
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&(udp.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[17, 61, 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    frame.extend_from_slice(&OWN_IPV6);
    frame.extend_from_slice(&udp);
    frame
}

fn decide(frame: &[u8]) -> Result<Datagram, Verdict> {
    classify(frame, &Own).map(|(datagram, ())| datagram)
}

#[test]
fn a_served_datagram_is_found_at_its_offset() {
    use Shape::{TaggedV4, TaggedV6, V4, V6};
    for (tags, ip, v4, v6) in
        [(&[][..], 14, V4, V6), (&[0x8100], 18, TaggedV4, TaggedV6), (&[0x88a8], 18, TaggedV4, TaggedV6)]
    {
        let found = |shape| Ok(Datagram { shape, udp_length: 28 });
        assert_eq!(decide(&ipv4(tags, PORT, &[0; 20])), found(v4), "{tags:x?}");
        assert_eq!(decide(&ipv6(tags, PORT, &[0; 20])), found(v6), "{tags:x?}");
        assert_eq!((v4.version(), v4.ip(), v4.udp()), (Version::V4, ip, ip + 20));
        assert_eq!((v6.version(), v6.ip(), v6.udp()), (Version::V6, ip, ip + 40));
    }
}

#[test]
fn a_port_is_served_at_its_own_address_only() {
    assert!(decide(&ipv6(&[], PORT_V6, &[])).is_ok());
    assert_eq!(decide(&ipv4(&[], PORT_V6, &[])), Err(Verdict::OtherAddress));
    assert_eq!(decide(&ipv4(&[], 53, &[])), Err(Verdict::OtherPort));
}

#[test]
fn a_decisive_field_counts_before_a_truncation() {
    // A frame may end after the last byte that its verdict depends on.
    let tagged = ipv4(&[0x8100, 0x8100], PORT, &[]);
    assert_eq!(decide(&tagged[..18]), Err(Verdict::VlanDepth));
    assert_eq!(decide(&ethernet(&[], 0x0806)), Err(Verdict::NotIp));
    let mut tcp = ipv4(&[], PORT, &[]);
    tcp[14 + 9] = 6;
    assert_eq!(decide(&tcp[..34]), Err(Verdict::NotUdp));
    let mut hop_by_hop = ipv6(&[], PORT, &[]);
    hop_by_hop[14 + 6] = 0;
    assert_eq!(decide(&hop_by_hop[..22]), Err(Verdict::ExtensionHeader));
}

#[test]
fn every_ip_protocol_except_udp_goes_to_the_stack() {
    for protocol in (0..=255).step_by(if cfg!(miri) { 5 } else { 1 }).filter(|protocol| *protocol != 17) {
        let mut v4 = ipv4(&[], PORT, &[0; 20]);
        v4[14 + 9] = protocol;
        assert_eq!(decide(&v4), Err(Verdict::NotUdp), "protocol {protocol}");
        let mut v6 = ipv6(&[], PORT, &[0; 20]);
        v6[14 + 6] = protocol;
        let extension = [0, 43, 44, 50, 51, 60, 135, 139, 140].contains(&protocol);
        let verdict = if extension { Verdict::ExtensionHeader } else { Verdict::NotUdp };
        assert_eq!(decide(&v6), Err(verdict), "next header {protocol}");
    }
}

#[test]
fn only_the_fragment_bits_make_a_fragment() {
    // For Miri, every 257th value is enough: it has each bit both set and clear.
    for bits in (0..=0xffffu16).step_by(if cfg!(miri) { 0x101 } else { 1 }) {
        let mut frame = ipv4(&[], PORT, &[0; 20]);
        frame[14 + 6..14 + 8].copy_from_slice(&bits.to_be_bytes());
        let whole = bits & 0x3fff == 0;
        assert_eq!(decide(&frame).err(), (!whole).then_some(Verdict::Fragment), "{bits:#06x}");
    }
}

#[test]
fn every_other_first_byte_of_ip_goes_to_the_stack() {
    for byte in (0..=255u8).step_by(if cfg!(miri) { 5 } else { 1 }) {
        let mut v4 = ipv4(&[], PORT, &[0; 20]);
        v4[14] = byte;
        let verdict = match byte {
            0x45 => None,
            0x40..0x50 => Some(Verdict::IpOptions),
            _ => Some(Verdict::NotIp),
        };
        assert_eq!(decide(&v4).err(), verdict, "{byte:#04x}");
        let mut v6 = ipv6(&[], PORT, &[0; 20]);
        v6[14] = byte;
        let version = (byte >> 4 != 6).then_some(Verdict::NotIp);
        assert_eq!(decide(&v6).err(), version, "{byte:#04x}");
    }
}

#[test]
fn the_longest_frame_is_redirected_and_a_longer_one_is_not() {
    let longest = ipv4(&[], PORT, &[0; MAX_FRAME - 42]);
    assert_eq!(longest.len(), MAX_FRAME);
    assert!(decide(&longest).is_ok());
    assert_eq!(decide(&ipv4(&[], PORT, &[0; MAX_FRAME - 41])), Err(Verdict::TooLong));
    let mut padded = ipv6(&[], PORT, &[]);
    padded.resize(MAX_FRAME + 1, 0);
    assert_eq!(decide(&padded), Err(Verdict::TooLong));
}

/// Returns only bytes within its bounds, as the kernel's verifier demands, and records up to where the
/// classifier read.
struct Guarded<'a> {
    bytes: &'a [u8],
    read_up_to: Cell<usize>,
}

impl ReadFrame for Guarded<'_> {
    fn holds(&self, end: usize) -> bool {
        self.bytes.len() >= end
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let read = <[u8]>::bytes::<N>(self.bytes, offset);
        assert_eq!(read.is_some(), offset + N <= self.bytes.len(), "{N} bytes at {offset}");
        if read.is_some() {
            self.read_up_to.set(self.read_up_to.get().max(offset + N));
        }
        read
    }
}

#[test]
fn a_frame_cut_at_any_length_is_truncated() {
    let tags: [&[u16]; 2] = [&[], &[0x8100]];
    for frame in tags.into_iter().flat_map(|tags| [ipv4(tags, PORT, &[0; 20]), ipv6(tags, PORT, &[0; 20])]) {
        for length in (0..frame.len()).step_by(if cfg!(miri) { 5 } else { 1 }) {
            let guarded = Guarded { bytes: &frame[..length], read_up_to: Cell::new(0) };
            assert_eq!(classify(&guarded, &Own), Err(Verdict::Truncated), "{length} of {}", frame.len());
        }
        let guarded = Guarded { bytes: &frame, read_up_to: Cell::new(0) };
        let (found, ()) = classify(&guarded, &Own).unwrap();
        assert_eq!(guarded.read_up_to.get(), found.shape.udp() + UDP_HEADER, "only the headers are read");
    }
}

#[test]
fn a_read_whose_end_overflows_is_none() {
    assert_eq!(<[u8]>::bytes::<4>(&[0; 8], usize::MAX), None);
    assert_eq!(<[u8]>::bytes(&[0; 8], 4), Some(&[0; 4]));
    assert_eq!(<[u8]>::bytes::<4>(&[0; 8], 5), None);
}

#[test]
fn each_verdict_has_its_own_index_and_name() {
    for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
        assert_eq!(verdict as usize, index, "{verdict:?}");
    }
    let names: HashSet<_> = Verdict::ALL.into_iter().map(Verdict::name).collect();
    assert_eq!(names.len(), Verdict::ALL.len());
}

#[test]
fn map_layouts_have_no_padding() {
    // Program and loader must see the same bytes, and the kernel compares all bytes of a key.
    assert_eq!((size_of::<Endpoint>(), align_of::<Endpoint>()), (20, 4));
    assert_eq!(PORT_WORDS, 1024);
    assert_ne!(
        Endpoint::v4([32, 1, 13, 184], PORT),
        Endpoint::v6([32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], PORT)
    );
}

/// A frame for a served endpoint of which up to three bytes are changed.
fn nearly_served() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::sample::select(vec![vec![], vec![0x8100], vec![0x88a8], vec![0x88a8, 0x8100]]);
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<bool>(), tags, payload, changes).prop_map(|(v4, tags, payload, changes)| {
        let mut frame = if v4 { ipv4(&tags, PORT, &payload) } else { ipv6(&tags, PORT, &payload) };
        for (index, byte) in changes {
            let index = index.index(frame.len());
            frame[index] = byte;
        }
        frame
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_get_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = decide(&bytes);
    }

    #[test]
    fn a_served_datagram_lies_within_the_frame(frame in nearly_served(), cut in any::<prop::sample::Index>()) {
        let frame = &frame[..=cut.index(frame.len())];
        let guarded = Guarded { bytes: frame, read_up_to: Cell::new(0) };
        let verdict = classify(&guarded, &Own).map(|(datagram, ())| datagram);
        prop_assert_eq!(verdict, decide(frame), "the verdict does not depend on the reader");
        if let Ok(Datagram { shape, udp_length }) = verdict {
            let (udp, udp_length) = (shape.udp(), usize::from(udp_length));
            prop_assert!(udp_length >= 8 && udp + udp_length <= frame.len());
            prop_assert_eq!(&frame[..6], &OWN_MAC);
            prop_assert_eq!(usize::from(frame[udp + 4]) << 8 | usize::from(frame[udp + 5]), udp_length);
        }
    }

    #[test]
    fn bytes_after_the_datagram_change_nothing(
        frame in nearly_served(),
        padding in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let padded = [&frame[..], &padding].concat();
        match decide(&frame) {
            // The padding may supply the bytes that the frame lacks.
            Err(Verdict::Truncated) => {}
            verdict => prop_assert_eq!(decide(&padded), verdict),
        }
    }
}
