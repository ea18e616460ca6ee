//! The classifier over frames that another program built.

use std::collections::HashSet;
use xstun_core::classify::{Datagram, Shape, Verdict, classify};
use xstun_testkit::frames::{REQUEST, Tag, cases, ipv4, ipv4_header, ipv6, ipv6_header, served, udp};

#[test]
fn each_frame_gets_its_verdict() {
    for case in cases() {
        let verdict = classify(case.frame.as_slice(), &served()).map(|_| ());
        assert_eq!(verdict, case.verdict, "{}", case.name);
    }
}

#[test]
fn the_table_reaches_every_verdict_that_a_frame_alone_can_reach() {
    let met: HashSet<_> = cases().into_iter().filter_map(|case| case.verdict.err()).collect();
    let of_the_program = [
        Verdict::Redirect,
        Verdict::Answered,
        Verdict::RedirectNoRoom,
        Verdict::NoSocket,
        Verdict::MultiBuffer,
    ];
    for verdict in Verdict::ALL {
        assert_eq!(met.contains(&verdict), !of_the_program.contains(&verdict), "{verdict:?}");
    }
    let names: HashSet<_> = cases().into_iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len(), "two cases share a name");
}

#[test]
fn the_layout_is_where_the_builder_put_it() {
    let rows = [
        (ipv4(&REQUEST), Shape::V4, 34),
        (ipv6(&REQUEST), Shape::V6, 54),
        (udp(ipv4_header(), Tag::One(7), &REQUEST), Shape::TaggedV4, 38),
        (udp(ipv6_header(), Tag::One(7), &REQUEST), Shape::TaggedV6, 58),
    ];
    for (frame, shape, udp) in rows {
        assert_eq!(classify(frame.as_slice(), &served()), Ok((Datagram { shape, udp_length: 28 }, ())));
        assert_eq!(shape.udp(), udp);
    }
}

#[test]
fn a_frame_cut_at_any_byte_is_not_ours() {
    let whole = |frame: &[u8]| {
        classify(frame, &served()).map(|(found, ())| found.shape.udp() + usize::from(found.udp_length))
    };
    for case in cases().into_iter().filter(|case| case.verdict.is_ok()) {
        let end = whole(&case.frame).unwrap();
        for length in 0..end {
            assert_eq!(whole(&case.frame[..length]), Err(Verdict::Truncated), "{} at {length}", case.name);
        }
        assert_eq!(whole(&case.frame[..end]), Ok(end), "{} without its padding", case.name);
    }
}
