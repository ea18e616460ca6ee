//! The plain loop: one datagram in, one out.

use crate::codec::reply;
use anyhow::Result;
use std::net::UdpSocket;

pub fn serve(socket: UdpSocket) -> Result<()> {
    let mut buffer = [0; 1500];
    loop {
        let (length, source) = socket.recv_from(&mut buffer)?;
        if let Some(reply) = reply(&buffer[..length], source) {
            // A reply that cannot be sent now is lost, like any datagram.
            let _ = socket.send_to(&reply, source);
        }
    }
}
