//! The STUN core: from a frame or a message to its reply.
//!
//! One function over memory, [`answer`](answer::answer) for frames and [`respond`](stun::respond) for
//! messages, which the XDP program, the AF_XDP workers, UDP, TCP and TLS, the fuzzers and the benches call.
//! Nothing here knows sockets, clocks, threads or logs; time, randomness and counters are arguments and
//! results.
//!
//! Without the feature `alloc` the crate contains only what the XDP program needs.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

#[cfg(feature = "alloc")]
pub mod answer;
pub mod classify;
pub mod enumeration;
pub mod frame;
pub mod outcome;
pub mod plain_frame;
#[cfg(feature = "alloc")]
pub mod rings;
#[cfg(feature = "alloc")]
pub mod served;
pub mod source;
pub mod stun;
