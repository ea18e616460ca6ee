//! Writes the seeds of the fuzz targets: every row of the conformance table as a message and as frames,
//! and every frame of the verdict table. `cargo xtask corpus` runs it.

use std::fs;
use std::path::{Path, PathBuf};
use xstun_fuzz::targets::policies;
use xstun_fuzz::{MEND_ALL, SOURCE};
use xstun_testkit::conformance::{Row, rows};
use xstun_testkit::frames::{Tag, cases, ipv4_header, ipv6_header, udp};

/// The flag by which the targets drop classic requests.
const NO_CLASSIC: u8 = 128;

fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("the directory to write to"));
    let frames = frames();
    write(&directory, "classify", &frames);
    write(&directory, "answer", &flagged(&frames, &[0, MEND_ALL, NO_CLASSIC]));
    // The second byte of this target is the length of the reply.
    write(&directory, "frame", &flagged(&flagged(&frames, &[0, 32, 255]), &[0, MEND_ALL]));
    let sources = [0, 1, 2].map(|kind| {
        let mut source = [0x11; SOURCE];
        source[0] = kind;
        source
    });
    let from = |message: &Vec<u8>| sources.map(|source| [&source[..], message].concat());
    let messages: Vec<_> = messages().iter().flat_map(from).collect();
    write(&directory, "respond", &flagged(&messages, &[0, MEND_ALL, NO_CLASSIC]));
    write(&directory, "policies", &policies(&sources));
    write(&directory, "rings", &rings());
}

fn messages() -> Vec<Vec<u8>> {
    rows().into_iter().map(|row| row.request).collect()
}

/// Each row under its setting, as a datagram and over a stream, and under policies with most options.
fn policies(sources: &[[u8; SOURCE]]) -> Vec<Vec<u8>> {
    let row = |row: Row| {
        let switches = policies::switches(row.setting);
        let mut inputs = Vec::new();
        for (source, version) in sources.iter().zip([0, 1, 0]) {
            let all_but_long_term = !policies::LONG_TERM;
            for [flags, switches, target] in [
                [MEND_ALL, switches, 0],
                [MEND_ALL, switches, policies::STREAM],
                [MEND_ALL | policies::AUTHENTICATED, all_but_long_term, 2],
                [MEND_ALL, policies::LONG_TERM, 0],
            ] {
                inputs.push([&[flags, switches, target | version], &source[..], &row.request].concat());
            }
        }
        inputs
    };
    rows().into_iter().flat_map(row).collect()
}

/// The messages in IPv4 frames and VLAN-tagged IPv6 frames, and the frames of the verdict table.
fn frames() -> Vec<Vec<u8>> {
    let framed = |message: &Vec<u8>| {
        [udp(ipv4_header(), Tag::None, message), udp(ipv6_header(), Tag::One(7), message)]
    };
    messages().iter().flat_map(framed).chain(cases().into_iter().map(|case| case.frame)).collect()
}

fn flagged(inputs: &[Vec<u8>], flags: &[u8]) -> Vec<Vec<u8>> {
    let with = |input: &Vec<u8>| {
        let input = input.clone();
        flags.iter().map(move |flag| [&[*flag][..], &input].concat())
    };
    inputs.iter().flat_map(with).collect()
}

/// Batches of a worker: receive, take, answer or drop, complete.
fn rings() -> Vec<Vec<u8>> {
    let step = |what: u8, count: u8| count * 5 + what;
    let batch = |received, answered, completed| {
        vec![step(2, 0), step(0, received), step(2, 0), step(4, answered), step(1, completed)]
    };
    let sizes = [[0, 0], [7, 7], [63, 255], [255, 63]];
    let sequences = [
        batch(8, 8, 8),
        batch(50, 20, 0),
        vec![step(3, 9), step(4, 9), step(1, 5), step(2, 0), step(3, 50)],
        [batch(4, 2, 1), batch(4, 4, 0), batch(50, 50, 50)].concat(),
    ];
    sizes.iter().flat_map(|size| sequences.iter().map(|sequence| [&size[..], sequence].concat())).collect()
}

fn write(directory: &Path, target: &str, inputs: &[Vec<u8>]) {
    let directory = directory.join(target);
    fs::create_dir_all(&directory).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        fs::write(directory.join(format!("seed-{number:04}")), input).unwrap();
    }
}
