//! What the verifier says about a program that it refuses.

use crate::error::Failure;
use aya::programs::ProgramError;

/// Converts the kernel's refusal of a program. The verifier's log has up to a thousand lines: the failure
/// quotes the decisive one, and the debug log gets all of them.
pub(super) fn refusal(error: ProgramError) -> Failure {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return Failure::system("cannot load the XDP program").because(error);
    };
    let log = verifier_log.to_string();
    tracing::debug!("the verifier's log of the XDP program: {log}");
    quote(&log).because(io_error)
}

fn quote(log: &str) -> Failure {
    Failure::system(match decisive_line(log) {
        Some(line) => format!("cannot load the XDP program: the verifier says '{line}'"),
        None => "cannot load the XDP program".to_owned(),
    })
}

/// The line of a verifier's log that gives the reason. Statistics of the verifier itself follow it.
fn decisive_line(log: &str) -> Option<&str> {
    const FOOTERS: [&str; 3] = ["verification time", "stack depth", "processed"];
    let lines = log.lines().rev().map(str::trim);
    let mut reasons = lines.filter(|line| !FOOTERS.iter().any(|footer| line.starts_with(footer)));
    reasons.find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{decisive_line, quote};
    use std::io;

    const LOG: &str = "1110: (bf) r3 = r2\n1111: (0f) r3 += r1\nmath between pkt pointer and register with \
                       unbounded min value is not allowed\nverification time 18664 usec\nstack depth 136\n\
                       processed 681 insns (limit 1000000)\n";

    #[test]
    fn of_a_verifiers_log_the_decisive_line_is_told() {
        let line = "math between pkt pointer and register with unbounded min value is not allowed";
        assert_eq!(decisive_line(LOG), Some(line));
        assert_eq!(decisive_line("\nprocessed 681 insns\n"), None);
        assert_eq!(decisive_line(""), None);
        let failure = quote(LOG).because(io::Error::from_raw_os_error(libc::EINVAL));
        assert_eq!(
            failure.to_string(),
            format!(
                "cannot load the XDP program: the verifier says '{line}': Invalid argument (os error 22)"
            )
        );
        assert_eq!(quote("").to_string(), "cannot load the XDP program");
    }
}
