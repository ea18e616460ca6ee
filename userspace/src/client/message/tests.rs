use super::{
    HEADER, Id, LONGEST_REQUEST, MappedFrom, Reply, crc32, mapped_address, read_reply, write_request,
};
use std::net::SocketAddr;

/// RFC 5769 §2.1's transaction ID, which all of its messages carry.
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

/// A message of this type with these attributes' bytes.
fn message(kind: u16, id: &Id, attributes: &[u8]) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((attributes.len() as u16).to_be_bytes());
    message.extend(id.0);
    message.extend(attributes);
    message
}

fn success(mapped: &str, from: MappedFrom) -> Reply {
    let mapped = mapped.parse().unwrap();
    Reply::Success { mapped, from, software: None, other_address: None }
}

#[test]
fn the_rfc_s_own_responses_are_read() {
    for (bytes, mapped) in
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let mapped: SocketAddr = mapped.parse().unwrap();
        assert_eq!(mapped_address(bytes), Some((mapped, MappedFrom::Xor)));
        let Reply::Success { mapped: read, from, software, .. } = read_reply(bytes, &Id::new(ID)).unwrap()
        else {
            panic!("no success response")
        };
        assert_eq!((read, from, software.as_deref()), (mapped, MappedFrom::Xor, Some("test vector")));
    }
}

#[test]
fn requests_are_written_as_the_rfc_draws_them() {
    let mut buffer = [0xff; LONGEST_REQUEST];
    let id = Id::new(ID);
    assert_eq!(write_request(&mut buffer, &id, false), HEADER);
    assert_eq!(buffer[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    assert_eq!(buffer[8..HEADER], ID);
    assert_eq!(write_request(&mut buffer, &id, true), LONGEST_REQUEST);
    assert_eq!(buffer[2..4], [0, 8]);
    assert_eq!(buffer[HEADER..HEADER + 4], [0x80, 0x28, 0, 4]);
    // The check value of this CRC, as every catalogue has it.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_fingerprint_that_is_wrong_or_not_last_spoils_a_reply() {
    let id = Id::new(ID);
    let mut wrong = IPV4_RESPONSE.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let mut changed = IPV4_RESPONSE.to_vec();
    changed[HEADER + 5] ^= 1;
    let mut not_last = IPV4_RESPONSE.to_vec();
    not_last.extend([0x80, 0x22, 0, 0]);
    not_last[3] += 4;
    let mut short = message(0x0101, &id, &[0, 1, 0, 8, 0, 1, 0, 2, 192, 0, 2, 2, 0x80, 0x28, 0, 0]);
    for reply in [&wrong, &changed, &not_last, &short] {
        assert_eq!(read_reply(reply, &id), Err("its FINGERPRINT is wrong"));
    }
    short.truncate(HEADER + 12);
    short[3] = 12;
    assert_eq!(read_reply(&short, &id), Ok(success("192.0.2.2:2", MappedFrom::Plain)));
}

#[test]
fn xor_mapped_address_goes_before_mapped_address_which_serves_alone() {
    let plain = [0, 1, 0, 8, 0, 1, 0, 2, 192, 0, 2, 2];
    let xor = [0, 0x20, 0, 8, 0, 1, 0x21, 0x13, 0x5e, 0x12, 0xa4, 0x43];
    for id in [Id::new(ID), Id([7; 16])] {
        let reply = message(0x0101, &id, &plain);
        assert_eq!(read_reply(&reply, &id), Ok(success("192.0.2.2:2", MappedFrom::Plain)));
        assert_eq!(mapped_address(&reply), Some(("192.0.2.2:2".parse().unwrap(), MappedFrom::Plain)));
    }
    let both = message(0x0101, &Id::new(ID), &[plain, xor].concat());
    assert_eq!(read_reply(&both, &Id::new(ID)), Ok(success("127.0.0.1:1", MappedFrom::Xor)));
    assert_eq!(mapped_address(&both).unwrap().1, MappedFrom::Xor);
}

#[test]
fn an_error_response_tells_its_code_its_reason_and_the_unknown_attributes() {
    let error = [0, 9, 0, 11, 0, 0, 4, 20, b'U', b'n', b'k', b'n', b'o', b'w', b'n', 0];
    let unknown = [0, 10, 0, 4, 0, 3, 0x7f, 0xff];
    for id in [Id::new(ID), Id([7; 16])] {
        let reply = message(0x0111, &id, &[&error[..], &unknown].concat());
        let expected = Reply::Error { code: 420, reason: "Unknown".into(), unknown: vec![3, 0x7fff] };
        assert_eq!(read_reply(&reply, &id), Ok(expected));
    }
}

#[test]
fn software_that_is_no_text_spoils_nothing() {
    let attributes =
        [0, 0x20, 0, 8, 0, 1, 0x21, 0x13, 0x5e, 0x12, 0xa4, 0x43, 0x80, 0x22, 0, 2, b'a', 0xff, 0, 0];
    let Ok(Reply::Success { software, .. }) =
        read_reply(&message(0x0101, &Id::new(ID), &attributes), &Id::new(ID))
    else {
        panic!("no success response")
    };
    assert_eq!(software.as_deref(), Some("a\u{fffd}"));
}

#[test]
fn what_is_no_reply_of_ours_is_named() {
    let id = Id::new(ID);
    let table: [(Vec<u8>, &str); 9] = [
        (vec![], "no STUN message"),
        (vec![1, 1, 0], "no STUN message"),
        (IPV4_RESPONSE[..40].to_vec(), "no STUN message"),
        ([IPV4_RESPONSE, &[0]].concat(), "no STUN message"),
        (message(0x0001, &id, &[]), "no Binding response"),
        (message(0x0103, &id, &[]), "no Binding response"),
        (message(0x0101, &Id::new([1; 12]), &[]), "transaction ID"),
        (message(0x0101, &id, &[]), "no mapped address"),
        (message(0x0101, &id, &[0, 0x20, 0, 40]), "an attribute"),
    ];
    for (bytes, why) in table {
        let told = read_reply(&bytes, &id).unwrap_err();
        assert!(told.contains(why), "{bytes:x?}: {told}");
    }
}

#[test]
fn random_ids_differ_and_only_classic_ones_lack_the_cookie() {
    let (one, other) = (Id::random(false).unwrap(), Id::random(false).unwrap());
    assert_ne!(one, other);
    assert!(!one.is_classic());
    assert!(Id::random(true).unwrap().is_classic());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        kind in proptest::sample::select(vec![0x0101u16, 0x0111, 0x0001]),
        classic: bool,
        attributes in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 4..=4), 0..20),
    ) {
        let id = if classic { Id([7; 16]) } else { Id::new(ID) };
        let bytes = message(kind, &id, &attributes.concat());
        let _ = read_reply(&bytes, &id);
        let _ = mapped_address(&bytes);
    }
}
