use super::{Mix, Request, Shape};
use crate::client::message::fingerprint_of;
use proptest::prelude::*;

/// The lengths of docs and clients: what each shape has on the wire.
const LENGTHS: [(Shape, usize); 8] = [
    (Shape::Bare, 20),
    (Shape::Fingerprint, 28),
    (Shape::SoftwareFingerprint, 40),
    (Shape::Software, 36),
    (Shape::ChangeRequest, 28),
    (Shape::Classic, 20),
    (Shape::ClassicChangeRequest, 28),
    (Shape::Ice, 76),
];

#[test]
fn every_shape_has_its_length_and_says_so() {
    for (shape, length) in LENGTHS {
        let request = Request::new(shape);
        assert_eq!(request.bytes.len(), length, "{shape:?}");
        let told = u16::from_be_bytes([request.bytes[2], request.bytes[3]]);
        assert_eq!(usize::from(told), length - 20, "{shape:?}");
        assert_eq!(request.cookie() != [0x21, 0x12, 0xa4, 0x42], shape.is_classic(), "{shape:?}");
    }
}

proptest! {
    #[test]
    fn the_fingerprint_is_that_of_the_whole_message(id: [u8; 12]) {
        for shape in Shape::ALL {
            let request = Request::new(shape);
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
    let mix = Mix::parse("bare=3,ice,classic=2").unwrap();
    assert_eq!(mix.requests.len(), 3);
    let mut counts = [0; 3];
    (0..60_000).for_each(|number| counts[mix.at(number)] += 1);
    for (count, share) in counts.into_iter().zip([30_000, 10_000, 20_000]) {
        assert!((share - 100..=share + 100).contains(&count), "{counts:?}");
    }
    // Not by turns: each of 16 ports, which go round by turns, gets each shape.
    for port in 0..16 {
        for shape in 0..3 {
            assert!((0..100).any(|round| mix.at(round * 16 + port) == shape), "port {port}, shape {shape}");
        }
    }
}

#[test]
fn each_name_is_a_mix_of_its_own() {
    for shape in Shape::ALL {
        let mix = Mix::parse(shape.name()).unwrap();
        assert_eq!(mix.requests[mix.at(u32::MAX)].bytes, Request::new(shape).bytes, "{shape:?}");
    }
}

#[test]
fn a_wrong_mix_is_told_what_is_wrong() {
    for (text, words) in [
        ("", "'' is no shape; there are bare, "),
        ("bare,,ice", "'' is no shape"),
        ("plain", "'plain' is no shape"),
        ("bare=", "the weight of 'bare='"),
        ("bare=0", "the weight of 'bare=0'"),
        ("bare=-1", "the weight of 'bare=-1'"),
        ("bare=4097", "the weight of 'bare=4097'"),
        ("bare=4096,ice", "the weights add up"),
        ("bare,ice,bare=2", "'bare' is named twice"),
    ] {
        let error = Mix::parse(text).unwrap_err();
        assert!(error.starts_with(words), "{text}: {error}");
    }
}
