//! Corrects checksums and lengths as the flags of an input say.

use etherparse::checksum::Sum16BitWords;
use xstun_testkit::messages::crc32;

/// Flag: corrects the message's length field, and the IP and UDP lengths.
pub const MEND_LENGTHS: u8 = 1;
/// Flag: corrects the IPv4 header checksum.
pub const MEND_IP: u8 = 2;
/// Flag: corrects the UDP checksum.
pub const MEND_UDP: u8 = 4;
/// Flag: corrects the value of a FINGERPRINT at the end.
pub const MEND_FINGERPRINT: u8 = 8;
/// All of these flags.
pub const MEND_ALL: u8 = MEND_LENGTHS | MEND_IP | MEND_UDP | MEND_FINGERPRINT;

/// Corrects a STUN message in place.
pub fn message(message: &mut [u8], flags: u8) {
    let Some(length) = message.len().checked_sub(20) else { return };
    if flags & MEND_LENGTHS != 0 {
        message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    }
    if flags & MEND_FINGERPRINT != 0
        && let Some((covered, [0x80, 0x28, 0, 4, value @ ..])) = message.split_last_chunk_mut::<8>()
    {
        value.copy_from_slice(&(crc32(covered) ^ 0x5354_554e).to_be_bytes());
    }
}

/// Corrects an Ethernet frame in place, from the message outwards. Frames other than plain UDP over IP are
/// unchanged.
pub fn frame(frame: &mut [u8], flags: u8) {
    let tag = if matches!(frame.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8])) { 4 } else { 0 };
    let ip = 14 + tag;
    let v6 = match frame.get(ip) {
        Some(first) if first >> 4 == 6 => true,
        Some(0x45) => false,
        _ => return,
    };
    let udp = ip + if v6 { 40 } else { 20 };
    if frame.len() < udp + 8 {
        return;
    }
    message(&mut frame[udp + 8..], flags);
    let length = (frame.len() - udp) as u16;
    if flags & MEND_LENGTHS != 0 {
        let (offset, total) = if v6 { (ip + 4, length) } else { (ip + 2, length + 20) };
        frame[offset..offset + 2].copy_from_slice(&total.to_be_bytes());
        frame[udp + 4..udp + 6].copy_from_slice(&length.to_be_bytes());
    }
    if flags & MEND_IP != 0 && !v6 {
        frame[ip + 10..ip + 12].fill(0);
        let sum = Sum16BitWords::new().add_slice(&frame[ip..udp]).ones_complement();
        frame[ip + 10..ip + 12].copy_from_slice(&sum.to_ne_bytes());
    }
    if flags & MEND_UDP != 0 {
        frame[udp + 6..udp + 8].fill(0);
        let addresses = if v6 { ip + 8..ip + 40 } else { ip + 12..ip + 20 };
        // Padding may follow the datagram.
        let stated = usize::from(u16::from_be_bytes([frame[udp + 4], frame[udp + 5]]));
        let datagram = &frame[udp..frame.len().min(udp + stated.max(8))];
        let sum = Sum16BitWords::new()
            .add_slice(&frame[addresses])
            .add_2bytes([0, 17])
            .add_2bytes([frame[udp + 4], frame[udp + 5]])
            .add_slice(datagram)
            .to_ones_complement_with_no_zero();
        frame[udp + 6..udp + 8].copy_from_slice(&sum.to_ne_bytes());
    }
}
