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
