//! Lists of cores.

use crate::error::{Failure, Result};
use std::collections::BTreeSet;

/// Parses a list of `--cores` like `0-3,6`. Returns it ascending, each core once.
///
/// # Errors
/// Usage: the text is not such a list, or it names a core that is not in `available`.
pub(crate) fn cores(list: &str, available: &[usize]) -> Result<Vec<usize>> {
    let unreadable = || {
        Failure::usage(format!("--cores '{list}' is not a list of cores"))
            .of("--cores")
            .remedy("write it like 0-3,6")
    };
    let mut cores = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| unreadable())?;
        let last: usize = last.trim().parse().map_err(|_| unreadable())?;
        if last < first {
            return Err(unreadable());
        }
        for core in first..=last {
            if !available.contains(&core) {
                return Err(Failure::usage(format!(
                    "--cores names core {core}, which this process cannot use (it may use {})",
                    ranges(available)
                ))
                .of("--cores"));
            }
            cores.insert(core);
        }
    }
    Ok(cores.into_iter().collect())
}

/// Formats sorted numbers like `0-3,6`.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => parts.push((n, n)),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    parts.join(",")
}
