//! The clients: one request (`probe`), a load of requests (`load`), and the view of a running server
//! (`top`).

mod host_port;
pub mod load;
mod login;
mod message;
pub mod probe;
pub mod top;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// What a client concludes from the replies; each conclusion has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientExit {
    /// The server answered correctly.
    Answered,
    /// At least one reply was wrong.
    WrongReply,
    /// No reply arrived in time.
    NoAnswer,
    /// The network or the server refused.
    Refused,
}

impl From<ClientExit> for ExitCode {
    fn from(exit: ClientExit) -> Self {
        ExitCode::from(match exit {
            ClientExit::Answered => 0,
            ClientExit::WrongReply => 1,
            ClientExit::NoAnswer => 3,
            ClientExit::Refused => 4,
        })
    }
}

/// Prints a message for the operator. Errors are ignored: standard error may be closed.
fn print_message(err: &mut dyn Write, message: &str) {
    let _ = writeln!(err, "xstun: {message}");
}

/// Whether two socket addresses have the same IP address and port. IPv6 scope and flow label are local
/// to a host and do not count.
#[inline]
fn is_same_endpoint(one: &SocketAddr, other: &SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

/// The unspecified address of `peer`'s family, with port 0.
fn unspecified(peer: &SocketAddr) -> SocketAddr {
    if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() }
}
