//! The section of a page that this verb writes, between two marks; the rest stays unchanged.

use anyhow::{Result, bail};

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// Returns the page with `section` between the marks; adds the marks at the end if there are none.
///
/// # Errors
/// The page has only one mark, or they are in the wrong order.
pub(super) fn with_section(page: &str, section: &str) -> Result<String> {
    let section = section.trim_end();
    match (page.find(BEGIN), page.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            Ok(format!("{}{BEGIN}\n{section}\n{}", &page[..begin], &page[end..]))
        }
        (None, None) => {
            let page = if page.trim().is_empty() { "# Measurements" } else { page.trim_end() };
            Ok(format!("{page}\n\n{BEGIN}\n{section}\n{END}\n"))
        }
        _ => bail!("the page must have one {BEGIN}, and one {END} after it, or neither"),
    }
}

#[cfg(test)]
mod tests {
    use super::with_section;

    #[test]
    fn a_section_is_added_once_and_then_replaced() {
        let first = with_section("# Page\n\nOther words.\n", "old").unwrap();
        assert_eq!(first, "# Page\n\nOther words.\n\n<!-- bench:begin -->\nold\n<!-- bench:end -->\n");
        let behind = format!("{first}\nMore words.\n");
        let second = with_section(&behind, "new\n").unwrap();
        assert_eq!(second, behind.replace("old", "new"));
        assert_eq!(with_section(&second, "new").unwrap(), second);
    }

    #[test]
    fn an_empty_page_gets_a_title() {
        assert!(with_section("", "x").unwrap().starts_with("# Measurements\n\n<!-- bench:begin -->"));
    }

    #[test]
    fn half_a_pair_of_marks_is_refused() {
        with_section("<!-- bench:end -->", "x").unwrap_err();
        with_section("<!-- bench:end --><!-- bench:begin -->", "x").unwrap_err();
    }
}
