//! The plain loop as a task, with one runtime for each socket.

use crate::codec::reply;
use anyhow::Result;
use std::net::UdpSocket;

pub fn serve(socket: UdpSocket) -> Result<()> {
    socket.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let mut buffer = [0; 1500];
        loop {
            let (length, source) = socket.recv_from(&mut buffer).await?;
            if let Some(reply) = reply(&buffer[..length], source) {
                // A reply that cannot be sent now is lost, like any datagram.
                let _ = socket.send_to(&reply, source).await;
            }
        }
    })
}
