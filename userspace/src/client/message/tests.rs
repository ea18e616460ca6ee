use super::fingerprint::crc32;
use super::{
    BindingResponse, HEADER, MappedAttribute, TransactionId, binding_request, mapped_address, parse_response,
};
use std::net::SocketAddr;

/// Transaction ID of all messages in RFC 5769.
const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

/// RFC 5769 §2.2: a success response over IPv4 with SOFTWARE, MESSAGE-INTEGRITY and FINGERPRINT.
const IPV4_RESPONSE: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769 §2.3: the same over IPv6.
const IPV6_RESPONSE: &[u8] =
    b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\x00\x20\x00\x14\x00\x02\xa1\x47\
    \x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
    \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
    \x80\x28\x00\x04\xc8\xfb\x0b\x4c";

/// Returns a message of this type with these attributes.
fn message(kind: u16, id: &TransactionId, attributes: &[u8]) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((attributes.len() as u16).to_be_bytes());
    message.extend(id.0);
    message.extend(attributes);
    message
}

fn success(mapped: &str, from: MappedAttribute) -> BindingResponse {
    let mapped = mapped.parse().unwrap();
    BindingResponse::Success { mapped, from, software: None, other_address: None }
}

#[test]
fn the_test_vectors_of_the_rfc_are_parsed() {
    for (bytes, mapped) in
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let mapped: SocketAddr = mapped.parse().unwrap();
        assert_eq!(mapped_address(bytes), Some((mapped, MappedAttribute::Xor)));
        let BindingResponse::Success { mapped: read, from, software, .. } =
            parse_response(bytes, &TransactionId::new(ID)).unwrap()
        else {
            panic!("no success response")
        };
        assert_eq!((read, from, software.as_deref()), (mapped, MappedAttribute::Xor, Some("test vector")));
    }
}

#[test]
fn requests_have_the_format_of_the_rfc() {
    let id = TransactionId::new(ID);
    let request = binding_request(&id, false);
    assert_eq!(request.len(), HEADER);
    assert_eq!(request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    assert_eq!(request[8..], ID);
    let request = binding_request(&id, true);
    assert_eq!(request.len(), HEADER + 8);
    assert_eq!(request[2..4], [0, 8]);
    assert_eq!(request[HEADER..HEADER + 4], [0x80, 0x28, 0, 4]);
    // The check value of this CRC in every catalogue.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_reply_with_a_wrong_or_misplaced_fingerprint_is_rejected() {
    let id = TransactionId::new(ID);
    let mut wrong = IPV4_RESPONSE.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let mut changed = IPV4_RESPONSE.to_vec();
    changed[HEADER + 5] ^= 1;
    let mut not_last = IPV4_RESPONSE.to_vec();
    not_last.extend([0x80, 0x22, 0, 0]);
    not_last[3] += 4;
    let mut short = message(0x0101, &id, &[0, 1, 0, 8, 0, 1, 0, 2, 192, 0, 2, 2, 0x80, 0x28, 0, 0]);
    for reply in [&wrong, &changed, &not_last, &short] {
        assert_eq!(parse_response(reply, &id), Err("wrong FINGERPRINT"));
    }
    short.truncate(HEADER + 12);
    short[3] = 12;
    assert_eq!(parse_response(&short, &id), Ok(success("192.0.2.2:2", MappedAttribute::Plain)));
}

#[test]
fn xor_mapped_address_takes_precedence_over_mapped_address() {
    let plain = [0, 1, 0, 8, 0, 1, 0, 2, 192, 0, 2, 2];
    let xor = [0, 0x20, 0, 8, 0, 1, 0x21, 0x13, 0x5e, 0x12, 0xa4, 0x43];
    for id in [TransactionId::new(ID), TransactionId([7; 16])] {
        let reply = message(0x0101, &id, &plain);
        assert_eq!(parse_response(&reply, &id), Ok(success("192.0.2.2:2", MappedAttribute::Plain)));
        assert_eq!(mapped_address(&reply), Some(("192.0.2.2:2".parse().unwrap(), MappedAttribute::Plain)));
    }
    let both = message(0x0101, &TransactionId::new(ID), &[plain, xor].concat());
    assert_eq!(
        parse_response(&both, &TransactionId::new(ID)),
        Ok(success("127.0.0.1:1", MappedAttribute::Xor))
    );
    assert_eq!(mapped_address(&both).unwrap().1, MappedAttribute::Xor);
}

#[test]
fn an_error_response_has_a_code_a_reason_and_unknown_attributes() {
    let error = [0, 9, 0, 11, 0, 0, 4, 20, b'U', b'n', b'k', b'n', b'o', b'w', b'n', 0];
    let unknown = [0, 10, 0, 4, 0, 3, 0x7f, 0xff];
    for id in [TransactionId::new(ID), TransactionId([7; 16])] {
        let reply = message(0x0111, &id, &[&error[..], &unknown].concat());
        let expected =
            BindingResponse::Error { code: 420, reason: "Unknown".into(), unknown: vec![3, 0x7fff] };
        assert_eq!(parse_response(&reply, &id), Ok(expected));
    }
}

#[test]
fn software_that_is_not_utf_8_is_accepted() {
    let attributes =
        [0, 0x20, 0, 8, 0, 1, 0x21, 0x13, 0x5e, 0x12, 0xa4, 0x43, 0x80, 0x22, 0, 2, b'a', 0xff, 0, 0];
    let Ok(BindingResponse::Success { software, .. }) =
        parse_response(&message(0x0101, &TransactionId::new(ID), &attributes), &TransactionId::new(ID))
    else {
        panic!("no success response")
    };
    assert_eq!(software.as_deref(), Some("a\u{fffd}"));
}

#[test]
fn the_reason_for_rejecting_a_reply_is_named() {
    let id = TransactionId::new(ID);
    let table: [(Vec<u8>, &str); 9] = [
        (vec![], "not a STUN message"),
        (vec![1, 1, 0], "not a STUN message"),
        (IPV4_RESPONSE[..40].to_vec(), "not a STUN message"),
        ([IPV4_RESPONSE, &[0]].concat(), "not a STUN message"),
        (message(0x0001, &id, &[]), "not a Binding response"),
        (message(0x0103, &id, &[]), "not a Binding response"),
        (message(0x0101, &TransactionId::new([1; 12]), &[]), "transaction ID"),
        (message(0x0101, &id, &[]), "no mapped address"),
        (message(0x0101, &id, &[0, 0x20, 0, 40]), "invalid attribute"),
    ];
    for (bytes, expected) in table {
        let reason = parse_response(&bytes, &id).unwrap_err();
        assert!(reason.contains(expected), "{bytes:x?}: {reason}");
    }
}

#[test]
fn random_ids_differ_and_only_classic_ones_lack_the_cookie() {
    let (one, other) = (TransactionId::random(false).unwrap(), TransactionId::random(false).unwrap());
    assert_ne!(one, other);
    assert!(!one.is_classic());
    assert!(TransactionId::random(true).unwrap().is_classic());
}

proptest::proptest! {
    #[test]
    fn parsing_never_panics(
        kind in proptest::sample::select(vec![0x0101u16, 0x0111, 0x0001]),
        classic: bool,
        attributes in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 4..=4), 0..20),
    ) {
        let id = if classic { TransactionId([7; 16]) } else { TransactionId::new(ID) };
        let bytes = message(kind, &id, &attributes.concat());
        let _ = parse_response(&bytes, &id);
        let _ = mapped_address(&bytes);
    }
}
