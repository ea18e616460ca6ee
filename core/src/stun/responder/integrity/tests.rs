//! The integrity attributes against the test vectors of RFC 5769 and RFC 8489.

use super::Integrity::{self, Sha1, Sha256};
use crate::stun::credentials::{md5_key, sha256_key, userhash};
use std::vec::Vec;

const NAME: &[u8] = "マトリックス".as_bytes();
const REALM: &[u8] = b"example.org";
/// The password of the long-term vectors after OpaqueString preparation.
const PASSWORD: &[u8] = b"TheMatrIX";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A test vector: its name, the attribute, its key, its offset, and the message.
type Vector = (&'static str, Integrity, Vec<u8>, usize, Vec<u8>);

/// The test vectors of RFC 5769 §2.1 to §2.4, and of RFC 8489 B.1 with erratum 6268.
fn vectors() -> [Vector; 5] {
    let short = b"VOkJxbRl1RmTxUk/WvJxBt".to_vec();
    let request = hex(
        "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff \
         80290008 932ff9b151263b36 00060009 6576746a3a68367659202020 00080014 \
         9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf",
    );
    let v4 = hex("0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200008 \
                  0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96");
    let v6 = hex("01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200014 \
                  0002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 \
                  80280004 c8fb0b4c");
    let long = hex(
        "00010060 2112a442 78ad3433c6ad72c029da412e 00060012 e3839ee38388e383aae38383e382afe382b90000 0015001c \
         662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b 6578616d706c652e6f726700 00080014 \
         f67024656dd64a3e02b8e0712e85c9a28ca89666",
    );
    let anonymous = hex("00010090 2112a442 78ad3433c6ad72c029da412e 001e0020 \
         4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704 00150029 \
         6f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39465354767936347341000000 0014000b \
         6578616d706c652e6f726700 001d0004 00020000 001c0020 \
         b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65");
    let (md5, sha256) = (md5_key(NAME, REALM, PASSWORD).to_vec(), sha256_key(NAME, REALM, PASSWORD).to_vec());
    [
        ("RFC 5769 §2.1", Sha1, short.clone(), 76, request),
        ("RFC 5769 §2.2", Sha1, short.clone(), 48, v4),
        ("RFC 5769 §2.3", Sha1, short, 60, v6),
        ("RFC 5769 §2.4", Sha1, md5, 92, long),
        ("RFC 8489 B.1", Sha256, sha256, 128, anonymous),
    ]
}

#[test]
fn the_test_vectors_are_verified_and_reproduced() {
    for (name, integrity, key, start, message) in vectors() {
        assert!(integrity.is_right(&key, &message, start), "{name}");
        let end = start + integrity.length();
        // The length field without FINGERPRINT, which some vectors have.
        let mut expected = message[..end].to_vec();
        expected[2..4].copy_from_slice(&((end - 20) as u16).to_be_bytes());
        let mut buffer = message[..start].to_vec();
        buffer.resize(end, 0xa5);
        assert_eq!(integrity.append(&key, &mut buffer, start), Some(end), "{name}");
        assert_eq!(buffer, expected, "{name}");
    }
}

#[test]
fn a_change_to_any_covered_byte_or_to_the_key_is_detected() {
    for (name, integrity, key, start, message) in vectors() {
        for at in (0..start + integrity.length()).step_by(if cfg!(miri) { 13 } else { 1 }) {
            // The HMAC does not cover the length field as received, but the value that follows from the
            // offset.
            if at == 2 || at == 3 {
                continue;
            }
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(!integrity.is_right(&key, &changed, start), "{name}: byte {at}");
        }
        let mut wrong_key = key.clone();
        wrong_key[0] ^= 1;
        assert!(!integrity.is_right(&wrong_key, &message, start), "{name}");
        for cut in (0..start + integrity.length()).step_by(if cfg!(miri) { 13 } else { 1 }) {
            assert!(!integrity.is_right(&key, &message[..cut], start), "{name}: cut to {cut}");
        }
    }
}

/// RFC 8489 §14.6: shorter than 32 bytes only if the STUN usage allows it.
#[test]
fn a_truncated_value_is_wrong() {
    let [.., (_, integrity, key, start, message)] = vectors();
    for length in [16, 20, 24, 28] {
        let mut short = message[..start + 4 + length].to_vec();
        short[start + 3] = length as u8;
        assert!(!integrity.is_right(&key, &short, start), "{length}");
    }
}

/// RFC 8489 §9.2.2 and B.1.
#[test]
fn keys_and_userhash_match_the_rfc() {
    assert_eq!(md5_key(b"user", b"realm", b"pass").to_vec(), hex("8493fbc53ba582fb4c044c456bdc40eb"));
    assert_eq!(
        userhash(NAME, REALM).to_vec(),
        hex("4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704")
    );
}

#[test]
fn nothing_is_appended_without_room() {
    let mut buffer = vec![0; 20 + Sha256.length() - 1];
    assert_eq!(Sha256.append(b"key", &mut buffer, 20), None);
    assert_eq!(Sha1.append(b"key", &mut buffer, 19), None, "the message is shorter than a header");
    assert_eq!(buffer, vec![0; 55]);
}
