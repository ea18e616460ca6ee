//! Request in, reply out, with the `stun` crate as in its documentation.

use std::net::SocketAddr;
use stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message};
use stun::xoraddr::XorMappedAddress;

/// The reply to the request, or `None` if it is not a Binding request.
pub fn reply(request: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let mut message = Message { raw: request.to_vec(), ..Message::default() };
    message.decode().ok()?;
    if message.typ != BINDING_REQUEST {
        return None;
    }
    let mut reply = Message::new();
    let mapped = XorMappedAddress { ip: source.ip(), port: source.port() };
    reply.build(&[Box::new(message.transaction_id), Box::new(BINDING_SUCCESS), Box::new(mapped)]).ok()?;
    Some(reply.raw)
}
