//! `unsafe` stands only where a reason is written down. (That each block has its SAFETY comment is
//! clippy's to check.)

use super::Finding;
use super::source::{Source, words};

/// Files that may hold unsafe code, and why they cannot do without.
const ALLOWED: [(&str, &str); 4] = [
    ("xdp-ebpf/src/program.rs", "reads packets through raw pointers and calls the kernel's helpers"),
    ("userspace/src/datapath/af_xdp/umem.rs", "hands out the memory that the kernel writes frames into"),
    ("userspace/src/datapath/af_xdp/rings.rs", "promises libxdp that a frame is in one place only"),
    ("userspace/src/datapath/socket/batch.rs", "calls recvmmsg and sendmmsg, which no safe crate wraps"),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if ALLOWED.iter().any(|(file, _)| *file == source.name) {
        return Vec::new();
    }
    let mut lines: Vec<_> = ["unsafe", "unsafe_code"]
        .into_iter()
        .flat_map(|word| words(&source.code, word))
        .map(|offset| source.line_of(offset))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let text = "unsafe code outside the files for it; use a safe call, or add the file and the reason to \
                xtask/src/tidy/unsafety.rs";
    lines.into_iter().map(|line| source.finding(line, text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[test]
    fn unsafe_code_is_found_where_no_reason_stands() {
        let text =
            "#![allow(unsafe_code)]\n// unsafe in a comment\nfn a() { unsafe { b() } }\nlet unsafely = 1;\n";
        let lines = |name| check(&Source::new(name, text)).into_iter().map(|f| f.line).collect::<Vec<_>>();
        assert_eq!(lines("userspace/src/stun.rs"), [1, 3]);
        assert_eq!(lines("userspace/src/datapath/socket/batch.rs"), Vec::<usize>::new());
    }
}
