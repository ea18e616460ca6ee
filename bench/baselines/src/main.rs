//! Baselines: small STUN servers of common designs, to compare xstun with. They check no more than such servers
//! usually do, and have no other use.
//!
//! Each serves UDP on one address until it is killed.

mod batch;
mod codec;
mod one;
mod sockets;
mod tasks;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// A server to compare with, not to use.
#[derive(Parser)]
struct Arguments {
    /// The kind of server
    #[arg(value_enum)]
    kind: Kind,
    /// Address and port to serve
    address: SocketAddr,
    /// Cores, each with its own thread and socket
    #[arg(long, value_delimiter = ',', default_value = "0")]
    cores: Vec<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Blocking `recv_from` and `send_to`, with the `stun` crate
    One,
    /// `recvmmsg` and `sendmmsg`, 64 at a time, with a reply of fixed form
    Batch,
    /// tokio, with the `stun` crate
    Tokio,
}

fn main() -> Result<()> {
    let Arguments { kind, address, cores } = Arguments::parse();
    let serve = match kind {
        Kind::One => one::serve,
        Kind::Batch => batch::serve,
        Kind::Tokio => tasks::serve,
    };
    sockets::on_each_core(address, &cores, serve)
}
