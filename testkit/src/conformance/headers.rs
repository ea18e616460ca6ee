//! Header, type and length: anything but a Binding request gets no reply.

use super::*;
use Outcome::{BadLength, Indication, NotStun, OtherMethod, Response};

pub(super) fn rows() -> Vec<Row> {
    let typed = |kind| message(kind, &[]);
    let length = |length: u16| {
        let mut request = request(&[]);
        request[2..4].copy_from_slice(&length.to_be_bytes());
        request
    };
    let success =
        message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, &[0, 1, 0xbd, 0x52, 0xe7, 0x21, 0xc0, 0x45])]);
    let classic_success = classic(BINDING_SUCCESS, &[(MAPPED_ADDRESS, &[0, 1, 0x9c, 0x40, 198, 51, 100, 7])]);
    vec![
        silence("RFC 8489 §5", "an empty datagram", vec![], NotStun),
        silence("RFC 8489 §5", "one byte less than a header", request(&[])[..19].to_vec(), NotStun),
        silence("RFC 8489 §5", "the first bit set: RTP", typed(0x8001), NotStun),
        silence("RFC 8489 §5", "the second bit set: ChannelData", typed(0x4001), NotStun),
        silence("RFC 8489 §5", "both bits set", typed(0xc001), NotStun),
        silence("RFC 8489 §6.3", "a length beyond the datagram", length(4), BadLength),
        silence("RFC 8489 §6.3", "the maximum length", length(0xfffc), BadLength),
        silence("RFC 8489 §5", "a length with its lowest bit set", length(1), BadLength),
        silence("RFC 8489 §5", "a length with its second bit set", length(2), BadLength),
        silence("RFC 8489 §6.3", "TURN's Allocate", typed(0x0003), OtherMethod),
        silence("RFC 8489 §18.2", "Shared Secret of RFC 3489", typed(0x0002), OtherMethod),
        silence("RFC 8489 §18.2", "method 0", typed(0x0000), OtherMethod),
        silence("RFC 8489 §5", "a method with its highest bit", typed(0x2001), OtherMethod),
        silence("RFC 8489 §5", "the method bit above the class bits", typed(0x0201), OtherMethod),
        silence("RFC 8489 §5", "the method bit between the class bits", typed(0x0021), OtherMethod),
        silence("RFC 8489 §6.3", "an indication of another method", typed(0x0016), OtherMethod),
        silence("RFC 8489 §6.3", "a response of another method", typed(0x0103), OtherMethod),
        silence("RFC 8489 §6.3.2", "a Binding indication", typed(0x0011), Indication),
        silence(
            "RFC 8489 §6.3.2",
            "an indication with a FINGERPRINT",
            fingerprinted(typed(0x0011)),
            Indication,
        ),
        silence("RFC 8489 §6.3.3", "a success response", success, Response),
        silence("RFC 8489 §6.3.4", "an error response", rejection(&[0, 0, 4, 20], &[0x4000]), Response),
        silence("RFC 3489 §8.1", "a classic success response", classic_success, Response),
        silence(
            "RFC 3489 §11.1",
            "a classic indication, which RFC 3489 does not have",
            classic(0x0011, &[]),
            Indication,
        ),
        silence("RFC 3489 §8.2", "a classic Shared Secret request", classic(0x0002, &[]), OtherMethod),
    ]
}
