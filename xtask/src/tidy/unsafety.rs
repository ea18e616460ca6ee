//! `unsafe` stands only where a reason is written down. (That each block has its SAFETY comment is
//! clippy's to check.)

use super::Finding;
use super::source::{Source, words};

/// Files that may hold unsafe code, and why they cannot do without.
const ALLOWED: [(&str, &str); 6] = [
    ("xdp-ebpf/src/program.rs", "reads packets through raw pointers and calls the kernel's helpers"),
    ("userspace/src/datapath/af_xdp/umem.rs", "hands out the memory that the kernel writes frames into"),
    ("userspace/src/datapath/af_xdp/rings.rs", "promises libxdp that a frame is in one place only"),
    (
        "userspace/src/datapath/af_xdp/socket.rs",
        "reads and sets options of AF_XDP sockets, which no safe crate wraps",
    ),
    ("userspace/src/datapath/socket/batch.rs", "calls recvmmsg and sendmmsg, which no safe crate wraps"),
    (
        "userspace/tests/common/wire.rs",
        "opens packet sockets on the test's own veth pair, which no safe crate wraps",
    ),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if ALLOWED.iter().any(|(file, _)| *file == source.name) {
        return Vec::new();
    }
    let places = ["unsafe", "unsafe_code"].into_iter().flat_map(|word| words(&source.code, word));
    let text = "unsafe code outside the files for it; use a safe call, or add the file and the reason to \
                xtask/src/tidy/unsafety.rs";
    // The first place tells enough: the file is in the list or it is not.
    places.min().map(|offset| source.finding(source.line_of(offset), text.to_owned())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[test]
    fn unsafe_code_is_found_where_no_reason_stands() {
        let text =
            "#![allow(unsafe_code)]\n// unsafe in a comment\nfn a() { unsafe { b() } }\nlet unsafely = 1;\n";
        let lines = |name| check(&Source::new(name, text)).into_iter().map(|f| f.line).collect::<Vec<_>>();
        assert_eq!(lines("userspace/src/stun.rs"), [1]);
        assert_eq!(check(&Source::new("a.rs", "// unsafe\nlet unsafely = \"unsafe\";\n")), []);
        assert_eq!(lines("userspace/src/datapath/socket/batch.rs"), Vec::<usize>::new());
    }
}
