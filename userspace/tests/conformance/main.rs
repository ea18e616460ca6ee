//! One table of rules, held against every way into the server: the core function, frames through
//! `answer`, and the program itself over AF_XDP and over sockets. The same bytes get the same reply on
//! each, up to the address of who asks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

#[cfg(feature = "af-xdp")]
#[allow(dead_code, reason = "the laboratory has more than this table needs")]
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/frames.rs"]
mod frames;
#[path = "../common/judge.rs"]
mod judge;
#[path = "../common/messages.rs"]
mod messages;
#[path = "../common/reference.rs"]
mod reference;

mod framed;
mod memory;
// By its path, as the fuzzers' corpus includes it: its modules stand beside it then.
#[path = "table/rows.rs"]
mod table;
#[cfg(feature = "af-xdp")]
mod wired;

use table::Setting;
use xstun::stun::Policy;

/// The setting as the core knows it.
fn policy(setting: Setting) -> Policy {
    match setting {
        Setting::Default => Policy::default(),
        Setting::NoClassic => Policy { classic: false, ..Policy::default() },
    }
}
