//! The status page: files that are compiled into the program.

/// Path, content type and text of each file.
const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
];

/// Returns content type and text of the file at this path.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    FILES.into_iter().find(|(name, _, _)| *name == path).map(|(_, kind, text)| (kind, text))
}

#[cfg(test)]
mod tests {
    use xstun_ebpf::loss::DriverLoss;

    #[test]
    fn the_page_adds_up_what_no_socket_counts() {
        let kinds = DriverLoss::ALL.into_iter().filter(|kind| !kind.counted_by_socket());
        let kinds: Vec<String> = kinds.map(|kind| format!("\"{}\"", kind.name())).collect();
        let line = format!("const DRIVER_LOST = [{}];", kinds.join(", "));
        assert!(include_str!("page/page.js").contains(&line), "page.js must have the line:\n{line}");
    }
}
