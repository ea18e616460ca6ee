//! The version of the running kernel, for decisions that no feature of it could be probed for.

/// Parses major and minor number of a release as in uname(2); zeros if the text is not one.
pub(crate) fn parse(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Returns major and minor number of the running kernel.
pub fn running() -> (u32, u32) {
    parse(&rustix::system::uname().release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(parse("6.1.0-40-amd64"), (6, 1));
        assert_eq!(parse("5.15.0-105-generic"), (5, 15));
        assert_eq!(parse("6.18.44"), (6, 18));
        assert_eq!(parse("6.12-rc3+"), (6, 12));
        assert_eq!(parse(""), (0, 0));
    }
}
