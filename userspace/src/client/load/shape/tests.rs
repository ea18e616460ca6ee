use super::{RequestShape, RequestTemplate, ShapeMix};
use crate::client::message::fingerprint_of;
use proptest::prelude::*;

/// Bytes of each shape on the wire, as documented and as clients send.
const LENGTHS: [(RequestShape, usize); 8] = [
    (RequestShape::Bare, 20),
    (RequestShape::Fingerprint, 28),
    (RequestShape::SoftwareFingerprint, 40),
    (RequestShape::Software, 36),
    (RequestShape::ChangeRequest, 28),
    (RequestShape::Classic, 20),
    (RequestShape::ClassicChangeRequest, 28),
    (RequestShape::Ice, 76),
];

#[test]
fn every_shape_has_its_documented_length() {
    for (shape, length) in LENGTHS {
        let request = RequestTemplate::new(shape);
        assert_eq!(request.bytes.len(), length, "{shape:?}");
        let field = u16::from_be_bytes([request.bytes[2], request.bytes[3]]);
        assert_eq!(usize::from(field), length - 20, "{shape:?}");
        assert_eq!(request.cookie() != [0x21, 0x12, 0xa4, 0x42], shape.is_classic(), "{shape:?}");
    }
}

proptest! {
    #[test]
    fn the_fingerprint_is_that_of_the_whole_message(id: [u8; 12]) {
        for shape in RequestShape::ALL {
            let request = RequestTemplate::new(shape);
            let mut buffer = [0xff; 128];
            let length = request.write(&mut buffer, &id);
            prop_assert_eq!(&buffer[8..20], &id);
            prop_assert!(buffer[length..].iter().all(|byte| *byte == 0xff));
            prop_assert_eq!(request.has_fingerprint(), request.fingerprint(&id).is_some());
            if request.has_fingerprint() {
                let expected = fingerprint_of(&buffer[..length - 8]);
                prop_assert_eq!(&buffer[length - 8..length - 4], &[0x80, 0x28, 0, 4]);
                prop_assert_eq!(&buffer[length - 4..length], &expected.to_be_bytes());
            }
        }
    }
}

#[test]
fn a_mix_has_its_shapes_in_their_proportion() {
    let mix = ShapeMix::parse("bare=3,ice,classic=2").unwrap();
    assert_eq!(mix.requests.len(), 3);
    let mut counts = [0; 3];
    (0..60_000).for_each(|number| counts[mix.at(number)] += 1);
    for (count, share) in counts.into_iter().zip([30_000, 10_000, 20_000]) {
        assert!((share - 100..=share + 100).contains(&count), "{counts:?}");
    }
    // Each of 16 ports, which send in turn, sends each shape.
    for port in 0..16 {
        for shape in 0..3 {
            assert!((0..100).any(|pass| mix.at(pass * 16 + port) == shape), "port {port}, shape {shape}");
        }
    }
}

#[test]
fn each_name_alone_is_a_mix() {
    for shape in RequestShape::ALL {
        let mix = ShapeMix::parse(shape.name()).unwrap();
        assert_eq!(mix.requests[mix.at(u32::MAX)].bytes, RequestTemplate::new(shape).bytes, "{shape:?}");
    }
}

#[test]
fn an_invalid_mix_is_rejected_with_a_reason() {
    for (text, words) in [
        ("", "'' is no shape; the shapes are bare, "),
        ("bare,,ice", "'' is no shape"),
        ("plain", "'plain' is no shape"),
        ("bare=", "the weight of 'bare='"),
        ("bare=0", "the weight of 'bare=0'"),
        ("bare=-1", "the weight of 'bare=-1'"),
        ("bare=4097", "the weight of 'bare=4097'"),
        ("bare=4096,ice", "the sum of the weights"),
        ("bare,ice,bare=2", "'bare' is given twice"),
    ] {
        let error = ShapeMix::parse(text).unwrap_err();
        assert!(error.starts_with(words), "{text}: {error}");
    }
}
