//! The limit on open files, and how many connections fit below it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Files for everything that is opened later and is no connection: AF_XDP sockets, maps, netlink.
const RESERVE: u64 = 512;

/// Makes room for this many connections, `open_ones` of which are open already: raises the soft limit on open
/// files as far as the hard limit allows. Returns the number that fits, at least one; warns if it is lower.
pub(super) fn make_room(connections: usize, open_ones: usize) -> usize {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count());
    let open = open.saturating_sub(open_ones) as u64;
    let limit = getrlimit(Resource::Nofile);
    let (raised, fitting) = plan(limit, open + RESERVE, connections as u64);
    // A soft limit may always be raised to the hard one (setrlimit(2)); should it not be, accept
    // fails with EMFILE and is tried again later.
    if raised != limit {
        let _ = setrlimit(Resource::Nofile, raised);
    }
    if fitting < connections as u64 {
        tracing::warn!(
            "--max-connections {connections} is lowered to {fitting}: this process may open no more than {} \
             files; raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd)",
            raised.current.unwrap_or_default()
        );
    }
    fitting as usize
}

/// Returns the limit to set, and how many connections fit below it beside `others` open files.
fn plan(limit: Rlimit, others: u64, connections: u64) -> (Rlimit, u64) {
    let wanted = others + connections;
    let current = match limit.current {
        None => None,
        Some(soft) if soft >= wanted => Some(soft),
        Some(soft) => Some(limit.maximum.map_or(wanted, |hard| hard.min(wanted)).max(soft)),
    };
    let fitting = current.map_or(connections, |current| current.saturating_sub(others).clamp(1, connections));
    (Rlimit { current, ..limit }, fitting)
}

#[cfg(test)]
mod tests {
    use super::plan;
    use rustix::process::Rlimit;

    #[test]
    fn the_soft_limit_is_raised_as_far_as_needed_and_allowed() {
        for (soft, hard, raised, fitting) in [
            (Some(1024), Some(524_288), Some(4696), 4096),
            (Some(1024), None, Some(4696), 4096),
            (Some(1024), Some(2048), Some(2048), 1448),
            (Some(8192), Some(8192), Some(8192), 4096),
            (Some(256), Some(256), Some(256), 1),
            (None, None, None, 4096),
        ] {
            let limit = Rlimit { current: soft, maximum: hard };
            let expected = (Rlimit { current: raised, maximum: hard }, fitting);
            assert_eq!(plan(limit, 600, 4096), expected, "{soft:?} {hard:?}");
        }
    }
}
