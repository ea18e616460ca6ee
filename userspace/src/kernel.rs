//! Which kernel runs: some decisions depend on nothing that could be asked for instead.

/// Major and minor number of a release as uname(2) tells it; zeros where it is no such text.
pub fn parse(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Major and minor number of the running kernel.
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
