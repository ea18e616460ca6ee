//! Formats numbers for people.

/// Formats a whole number with thousands separators.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(["7", "812345.6", "1000"].map(|n| grouped(n.parse().unwrap())), ["7", "812,346", "1,000"]);
    }
}
