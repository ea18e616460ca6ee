//! Numbers and times, formatted for the operator.

/// Formats a number with at most three digits and k, M or G.
pub(super) fn brief(number: f64) -> String {
    for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if number >= size * 0.9995 {
            let number = number / size;
            let decimals = if number >= 99.95 {
                0
            } else if number >= 9.995 {
                1
            } else {
                2
            };
            return format!("{number:.decimals$}{unit}");
        }
    }
    if number >= 99.95 || number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// Does what [`brief`] does; a dash for `None`.
pub(super) fn brief_or_dash(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), brief)
}

/// Formats a count with thousands separators.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a duration in its two largest units.
pub(super) fn time(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
