//! Allows unsafe code only in the files of a list, each with a reason. (Clippy checks that each block
//! has a SAFETY comment.)

use super::Finding;
use super::source::{SourceFile, words};

/// Files that may have unsafe code, and why they need it.
const ALLOWED: [(&str, &str); 15] = [
    ("xdp-ebpf/src/losses.rs", "reads kernel memory in tracepoints, and counts in per-CPU maps"),
    ("xdp-ebpf/src/packet.rs", "reads packets through raw pointers that the verifier checks"),
    ("xdp-ebpf/src/program.rs", "calls the kernel's helpers, and counts in per-CPU maps"),
    (
        "bench/ebpf/src/flood.rs",
        "writes requests into packets through raw pointers and calls the kernel's helpers",
    ),
    ("bench/ebpf/src/swap.rs", "writes into packets through raw pointers"),
    (
        "userspace/src/datapath/af_xdp/frame_queue.rs",
        "keeps the frames of a UMEM to itself, so that only their owner edits them",
    ),
    (
        "userspace/src/datapath/af_xdp/umem.rs",
        "gives access to the memory that the kernel writes frames into",
    ),
    (
        "userspace/src/datapath/af_xdp/link.rs",
        "creates and updates bpf_links, because aya's cannot be handed to another process",
    ),
    ("userspace/src/datapath/af_xdp/socket.rs", "hands frames to libxdp, and sets socket options"),
    (
        "userspace/src/interface/driver_counters.rs",
        "calls ethtool's ioctl, whose buffers no safe crate bounds",
    ),
    ("userspace/src/memory.rs", "sets a number of the allocator, which no safe crate does"),
    ("userspace/src/datapath/socket/batch.rs", "calls recvmmsg and sendmmsg, which no safe crate wraps"),
    (
        "userspace/src/datapath/socket/batch/address.rs",
        "reads and writes the addresses in the messages of both",
    ),
    ("bench/baselines/src/batch.rs", "calls recvmmsg and sendmmsg, as the servers do that it represents"),
    (
        "testkit/src/lab/wire.rs",
        "opens packet sockets, which no safe crate wraps, on the test's own veth pair",
    ),
];

pub(super) fn check(source: &SourceFile) -> Option<Finding> {
    // One finding is enough: the file is on the list or not.
    let named = ["unsafe", "unsafe_code"].into_iter().flat_map(|word| words(&source.code, word));
    let first = named.filter(|&offset| !source.code[..offset].ends_with("forbid(")).min();
    let allowed = ALLOWED.iter().any(|(file, _)| *file == source.name);
    let text = match first {
        Some(_) if !allowed => {
            "has unsafe code and is not on the list; use a safe call, or add the file with a reason to \
             xtask/src/tidy/unsafety.rs"
        }
        None if allowed => "has no unsafe code; remove it from the list in xtask/src/tidy/unsafety.rs",
        _ => return None,
    };
    Some(source.finding(first.map_or(1, |offset| source.line_of(offset)), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    #[test]
    fn unsafe_code_and_the_list_of_its_files_must_agree() {
        let text =
            "#![allow(unsafe_code)]\n// unsafe in a comment\nfn a() { unsafe { b() } }\nlet unsafely = 1;\n";
        let line = |name, text| check(&SourceFile::new(name, text)).map(|finding| finding.line);
        let allowed = "userspace/src/datapath/socket/batch.rs";
        assert_eq!(line("userspace/src/stun.rs", text), Some(1));
        assert_eq!(line("userspace/src/stun.rs", "\nfn a() { unsafe { b() } }\n"), Some(2));
        assert_eq!(line(allowed, text), None);

        let safe = "#![forbid(unsafe_code)]\n// unsafe\nlet unsafely = \"unsafe\";\n";
        assert_eq!(line("userspace/src/stun.rs", safe), None);
        assert_eq!(line(allowed, safe), Some(1));
    }
}
