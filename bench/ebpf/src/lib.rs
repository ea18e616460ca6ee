//! What the benchmark's programs in the kernel and their loaders share: names and layouts of the maps, and
//! offsets in a request.
#![no_std]

/// Name of the generator, which sends requests and counts replies.
pub const PROGRAM_FLOOD: &str = "xstun_flood";
/// Name of the program that sends every UDP datagram back: the limit of answers in the kernel.
pub const PROGRAM_SWAP: &str = "xstun_swap";
/// Array of one [`Plan`].
pub const MAP_PLAN: &str = "XSTUN_PLAN";
/// Array of one [`Template`].
pub const MAP_TEMPLATE: &str = "XSTUN_TEMPLATE";
/// Per-CPU array of `u64`, indexed by [`Count`].
pub const MAP_COUNTS: &str = "XSTUN_COUNTS";
/// Per-CPU array of [`LATENCIES`] counters, indexed by [`latency_index`].
pub const MAP_LATENCIES: &str = "XSTUN_LATENCIES";

/// Offsets in the frame of a request: Ethernet, IPv4, UDP, a Binding request without attributes.
pub mod offset {
    /// UDP source port.
    pub const SOURCE_PORT: usize = 34;
    /// The STUN message.
    pub const STUN: usize = 42;
    /// First two bytes of the transaction ID: the source port's complement, so that sums stay.
    pub const PORT_COMPLEMENT: usize = STUN + 8;
    /// Four bytes of the transaction ID: when the request was due, in nanoseconds.
    pub const TIME: usize = PORT_COMPLEMENT + 2;
    /// Four bytes of the transaction ID: the complement of the time.
    pub const TIME_COMPLEMENT: usize = TIME + 4;
    /// The frame's end.
    pub const END: usize = STUN + 20;
}

/// Bytes after the request's end that each run cuts off again. The kernel keeps a frame's length from the
/// previous run, in which the frame may have become a longer reply, unless the program changes the length
/// (`frame_was_changed` and `ctx_was_changed` in net/bpf/test_run.c).
pub const SPARE: usize = 2;
/// The request's frame and [`SPARE`] bytes, in words of the host's byte order.
pub type Template = [u64; 8];

const _: () = assert!(size_of::<Template>() == offset::END + SPARE);

/// Units per nanosecond of the intervals between requests.
pub const FRACTIONS: u64 = 1 << 10;

/// How late a request may leave, in nanoseconds. Requests that are due longer are omitted.
pub const SLACK: u64 = 50_000;

/// A structure of 64-bit words, and its words in the order of the fields.
macro_rules! of_words {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$about_field:meta])* pub $field:ident,)+ }) => {
        $(#[$about])*
        pub struct $name { $($(#[$about_field])* pub $field: u64,)+ }

        impl $name {
            /// Number of words.
            pub const WORDS: usize = [$(stringify!($field)),+].len();

            /// The map's value, in the order of the fields.
            pub const fn to_words(self) -> [u64; Self::WORDS] {
                [$(self.$field),+]
            }

            /// The plan in a value of the map.
            pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
                let [$($field),+] = words;
                $name { $($field),+ }
            }
        }
    };
}

of_words! {
    /// What to send, and how far it went: the one value of the map.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Plan {
        /// Time between two requests, in [`FRACTIONS`] of a nanosecond; 0 sends without a pause.
        pub interval,
        /// Nanoseconds in which requests are sent.
        pub duration,
        /// Index of the interface that they leave by.
        pub interface,
        /// First source port.
        pub first_port,
        /// Source ports that are taken in turn, a power of two.
        pub ports,
        /// The server's port.
        pub server_port,
        /// Not 0 if the server sends requests back, so that these count as right replies.
        pub reflected,
        /// The kernel's monotonic time of the first request, in nanoseconds; 0 before it.
        pub start,
        /// Nanoseconds since then, as last looked at.
        pub elapsed,
        /// Requests sent.
        pub sent,
        /// When the next one is due, in [`FRACTIONS`] since the start.
        pub due,
        /// Requests left out.
        pub omitted,
        /// The latest that one was found due, in nanoseconds.
        pub latest,
    }
}

/// What came from the server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// A success with the true address and port, or a request that was sent back where that is expected.
    Right,
    /// Anything else.
    Other,
}

impl Count {
    /// Both, in the order of the map.
    pub const ALL: [Count; 2] = [Count::Right, Count::Other];
}

/// Parts that each power of two is divided into, as a power of two itself.
const PARTS: u32 = 4;
/// Number of counters of latencies: 16 for each power of two of a 32-bit number.
pub const LATENCIES: usize = ((32 - PARTS + 1) << PARTS) as usize;

/// The counter of a latency in nanoseconds. Counters are a sixteenth apart, and one nanosecond below
/// 16.
#[inline(always)]
pub const fn latency_index(nanoseconds: u32) -> u32 {
    if nanoseconds < 1 << PARTS {
        return nanoseconds;
    }
    let shift = 31 - PARTS - nanoseconds.leading_zeros();
    (shift << PARTS) + (nanoseconds >> shift)
}

/// The least latency that a counter counts, in nanoseconds.
pub const fn latency_of(index: u32) -> u64 {
    if index < 2 << PARTS {
        return index as u64;
    }
    let shift = (index >> PARTS) - 1;
    ((index - (shift << PARTS)) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::{LATENCIES, Plan, latency_index, latency_of};

    #[test]
    fn a_latency_is_counted_within_a_sixteenth() {
        for nanoseconds in (0..5000).chain([65_535, 65_536, 1_000_000, u32::MAX - 1, u32::MAX]) {
            let index = latency_index(nanoseconds);
            assert!((index as usize) < LATENCIES, "{nanoseconds}");
            let (low, high) = (latency_of(index), latency_of(index + 1));
            assert!(low <= u64::from(nanoseconds) && u64::from(nanoseconds) < high, "{nanoseconds}: {low}");
            assert!(high - low <= 1.max(u64::from(nanoseconds) / 16), "{nanoseconds}: {low} to {high}");
        }
        assert_eq!(latency_index(u32::MAX) as usize, LATENCIES - 1);
    }

    #[test]
    fn a_plan_is_its_words() {
        let words = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
        assert_eq!(Plan::from_words(words).to_words(), words);
        assert_eq!(size_of::<Plan>(), size_of_val(&words));
        assert_eq!(core::mem::offset_of!(Plan, interface), 2 * 8);
        assert_eq!(core::mem::offset_of!(Plan, due), 10 * 8);
    }
}
