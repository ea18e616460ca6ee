//! Requests to the kernel over a netlink socket, and their answers.

use netlink_packet_core::{
    Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader,
};
use netlink_sys::{Socket, SocketAddr};
use std::io;

/// Bytes to receive one datagram of an answer. The kernel fills dumps up to 32 KiB; a single answer for a NIC
/// with hundreds of virtual functions can be longer.
const RECEIVE_ROOM: usize = 256 << 10;

/// How often a dump that changed while the kernel wrote it is requested.
const DUMP_ATTEMPTS: usize = 8;

/// A netlink socket with one request at a time.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// Whether a request is for one object or for a dump of all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    Single,
    Dump,
}

/// Type and body of one message of an answer.
pub(super) type Message = (u16, Vec<u8>);

impl Netlink {
    /// Opens a socket for this netlink protocol, in the network namespace of the calling thread.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends a request of type `kind` with this body, and returns every message of the answer.
    ///
    /// # Errors
    /// The kernel's errno for the request, or that of the socket.
    pub(super) fn request(
        &mut self,
        kind: u16,
        request: RequestKind,
        body: &[u8],
    ) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.attempt(kind, request, body)? {
                return Ok(messages);
            }
        }
        Err(io::Error::other("the dump changed each time while it was read"))
    }

    /// Sends the request once. Returns `None` if a dump changed while the kernel wrote it.
    fn attempt(&mut self, kind: u16, request: RequestKind, body: &[u8]) -> io::Result<Option<Vec<Message>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = NLM_F_REQUEST | if request == RequestKind::Dump { NLM_F_DUMP } else { NLM_F_ACK };
        let mut header = NetlinkHeader::default();
        header.message_type = kind;
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut bytes = vec![0; header.buffer_len()];
        let length = bytes.len() + body.len();
        header.length = u32::try_from(length).map_err(io::Error::other)?;
        header.emit(&mut bytes);
        bytes.extend_from_slice(body);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;

        let mut messages = Vec::new();
        let mut consistent = true;
        loop {
            let datagram = receive(&self.socket, 0)?;
            match read(&datagram, self.sequence, &mut messages, &mut consistent)? {
                Progress::More => {}
                Progress::Done => return Ok(consistent.then_some(messages)),
            }
        }
    }
}

enum Progress {
    More,
    Done,
}

/// Appends the messages of one datagram that answer request `sequence`.
fn read(
    mut datagram: &[u8],
    sequence: u32,
    messages: &mut Vec<Message>,
    consistent: &mut bool,
) -> io::Result<Progress> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(&datagram).map_err(io::Error::other)?;
        let length = message.length() as usize;
        if message.sequence_number() == sequence {
            *consistent &= message.flags() & NLM_F_DUMP_INTR == 0;
            match message.message_type() {
                // An "error" of 0 is the acknowledgement that ends the answer to a single request.
                NLMSG_DONE | NLMSG_ERROR => return end(message.payload()),
                kind => messages.push((kind, message.payload().to_vec())),
            }
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// Reads the last message of an answer: a negative errno, or 0. An empty message means 0 too.
fn end(payload: &[u8]) -> io::Result<Progress> {
    let code = ErrorBuffer::new_checked(&payload).ok().and_then(|buffer| buffer.code());
    match code {
        Some(code) if code.get() < 0 => Err(io::Error::from_raw_os_error(-code.get())),
        _ => Ok(Progress::Done),
    }
}

/// Receives the next datagram that the kernel sent.
pub(super) fn receive(socket: &Socket, flags: i32) -> io::Result<Vec<u8>> {
    loop {
        let mut datagram = Vec::with_capacity(RECEIVE_ROOM);
        match socket.recv_from(&mut datagram, flags | libc::MSG_TRUNC) {
            // Any process may send to a netlink socket; port 0 is the kernel.
            Ok((_, sender)) if sender.port_number() != 0 => {}
            Ok((length, _)) if length > datagram.len() => {
                return Err(io::Error::other(format!(
                    "an answer of {length} bytes exceeds the limit of {RECEIVE_ROOM} bytes"
                )));
            }
            Ok(_) => return Ok(datagram),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Progress, read};
    use std::io;

    /// One message in the kernel's layout.
    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read_all(datagram: &[u8]) -> (io::Result<bool>, Vec<Message>, bool) {
        let (mut messages, mut consistent) = (Vec::new(), true);
        let progress = read(datagram, 7, &mut messages, &mut consistent);
        (progress.map(|progress| matches!(progress, Progress::Done)), messages, consistent)
    }

    #[test]
    fn a_dump_ends_with_done_and_other_answers_are_skipped() {
        let datagram =
            [message(16, 2, 6, b"stale"), message(16, 2, 7, b"one"), message(3, 2, 7, &[0; 4])].concat();
        let (done, messages, consistent) = read_all(&datagram);
        assert!(done.unwrap());
        assert_eq!(messages, [(16, b"one".to_vec())]);
        assert!(consistent);
        assert!(!read_all(&message(16, 2, 7, b"one")).0.unwrap());
    }

    #[test]
    fn an_error_is_the_kernels_errno() {
        let (done, messages, _) = read_all(&message(2, 0, 7, &(-19i32).to_ne_bytes()));
        assert_eq!(done.unwrap_err().raw_os_error(), Some(19));
        assert!(messages.is_empty());
        assert!(read_all(&message(2, 0x100, 7, &[0; 20])).0.unwrap());
    }

    #[test]
    fn a_dump_that_changed_meanwhile_is_recognised() {
        assert!(!read_all(&message(3, 2 | 16, 7, &[0; 4])).2);
    }

    #[test]
    fn a_truncated_message_is_an_error() {
        let whole = message(16, 2, 7, b"some body");
        for end in 1..whole.len() - 3 {
            assert!(read_all(&whole[..end]).0.is_err(), "{end}");
        }
    }
}
