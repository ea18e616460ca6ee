//! Reads what the tests need of a Markdown page: sections, tables, code spans, paragraphs, links.

/// Returns the text between a heading and the next one of its rank or above.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let body = &page[start + heading.len() + 1..];
    let rank = heading.split(' ').next().unwrap().len();
    let ends = (1..=rank).filter_map(|rank| body.find(&format!("\n{} ", "#".repeat(rank))));
    &body[..ends.min().unwrap_or(body.len())]
}

/// Returns the cells of each row below the header whose first cell is `first`, from every such table in
/// `text`.
pub(crate) fn rows(text: &str, first: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        if inside && !cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            rows.push(cells);
        } else {
            inside |= cells[0] == first;
        }
    }
    assert!(!rows.is_empty(), "no table with the column '{first}'");
    rows
}

/// Returns the cells of a line that is part of a table.
pub(crate) fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix('|')?.strip_suffix('|')?;
    // What is escaped is part of a cell.
    let cells = line.replace("\\|", "\0");
    Some(cells.split('|').map(|cell| cell.trim().replace('\0', "|")).collect())
}

/// Returns the code spans of a line.
pub(crate) fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Returns the lines of a page outside code blocks, HTML comments and what tools write between these.
pub(crate) fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    let mut is_generated = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        let comment = line.starts_with("<!--");
        is_generated ^= comment && (line.contains(":begin") || line.contains(":end"));
        !fence && !is_code && !is_generated && !comment
    })
}

/// Returns the anchor that a heading of this text has.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
