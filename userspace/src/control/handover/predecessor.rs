//! The predecessor's side of a hand-over, on the thread of the control socket.

use crate::control::request::{ControlRequest, ask};
use crate::control::wire::{ControlConnection, ControlMessage, MOST_DESCRIPTORS};
use crate::datapath::{Inheritance, InheritedLink};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use tokio::sync::mpsc;

/// Hands everything that this server serves with to the successor at the other end of `connection`, and
/// serves its requests until it serves itself or is gone.
///
/// # Errors
/// The connection broke, or the control loop has ended.
pub(in crate::control) fn hand_over(
    connection: &ControlConnection,
    requests: &mpsc::Sender<ControlRequest>,
) -> io::Result<()> {
    let inheritance = match ask(requests, ControlRequest::TakeOver)? {
        Ok(inheritance) => inheritance,
        Err(failure) => {
            return connection.send(&ControlMessage::Refused { why: failure.to_string() }, &[]);
        }
    };
    let result =
        send_all(connection, inheritance).and_then(|()| follow(connection, requests)).and_then(|serves| {
            // Before the request: this server may be gone the moment that the control loop has it, and the
            // successor, without the confirmation, would exit too.
            if serves {
                connection.send(&ControlMessage::Ending, &[])?;
            }
            Ok(serves)
        });
    let request = if matches!(result, Ok(true)) { ControlRequest::Complete } else { ControlRequest::Abandon };
    let _ = requests.blocking_send(request);
    result.map(drop)
}

fn send_all(connection: &ControlConnection, inheritance: Inheritance) -> io::Result<()> {
    for (address, sockets) in &inheritance.udp {
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
        for some in sockets.chunks(MOST_DESCRIPTORS) {
            connection.send(&ControlMessage::Udp { address: *address }, some)?;
        }
    }
    for (name, address, listener) in &inheritance.listeners {
        let message = ControlMessage::Listener { name: name.clone(), address: *address };
        connection.send(&message, &[listener.as_fd()])?;
    }
    for InheritedLink { interface, index, native, napi, link } in &inheritance.links {
        let (interface, index, native, napi) = (interface.clone(), *index, *native, *napi);
        connection.send(&ControlMessage::Link { interface, index, native, napi }, &[link.as_fd()])?;
    }
    connection.send(&ControlMessage::Complete, &[])
}

/// Serves the successor's requests. Returns true when it serves, false if it ended before.
fn follow(connection: &ControlConnection, requests: &mpsc::Sender<ControlRequest>) -> io::Result<bool> {
    connection.wait_without_limit()?;
    loop {
        match connection.receive()? {
            Some((ControlMessage::Release { index }, _)) => {
                ask(requests, |reply| ControlRequest::Release(index, reply))?;
                connection.send(&ControlMessage::Released, &[])?;
            }
            Some((ControlMessage::Done, _)) => return Ok(true),
            _ => return Ok(false),
        }
    }
}
