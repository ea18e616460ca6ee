//! The longer way to a reply, for requests that ask for more than their address and for operators who
//! switched something on.

use super::{
    Answer, Exchange, Policy, REPLY_ROOM, Transport, authentication,
    discovery::{Change, Discovery},
    policy::{Extras, Software},
    request::Request,
    requested::Requested,
    walk::MAX_UNKNOWN,
    wire::{
        BINDING_ERROR, BINDING_SUCCESS, Dialect, HEADER, address_length,
        attribute::{
            ALTERNATE_SERVER, CHANGED_ADDRESS, ERROR_CODE, MAPPED_ADDRESS, OTHER_ADDRESS, PADDING,
            RESPONSE_ORIGIN, SOFTWARE, SOURCE_ADDRESS, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS,
        },
    },
    writer::Writer,
};
use crate::outcome::Outcome;
use core::net::SocketAddr;
use core::num::NonZeroU16;

/// ERROR-CODE and its header, without reason phrase.
const BARE_ERROR: usize = 8;

const _: () = assert!(MAX_UNKNOWN.is_multiple_of(2), "an odd list of types has room for one more");

/// A kind of error: class and number (RFC 8489 §14.8), and the reason phrase, which is told where the
/// request has room for it.
struct Error {
    code: [u8; 4],
    reason: &'static str,
}

const TRY_ALTERNATE: Error = Error { code: [0, 0, 3, 0], reason: "" };
const BAD_REQUEST: Error = Error { code: [0, 0, 4, 0], reason: "Bad Request" };
const UNKNOWN_ATTRIBUTE: Error = Error { code: [0, 0, 4, 20], reason: "Unknown Attribute" };

/// Answers `request`, whose message is at the start of `buffer`.
///
/// In this order: a transaction ID of zeros, if these get silence; credentials, if these are asked for (400,
/// 401, 438); attributes with a fault; unknown ones (420); requested that RFC 5780 §6.1 forbids (400); another
/// server (300), for those who have proven their credentials; success.
#[cold]
#[inline(never)]
pub(super) fn respond(
    buffer: &mut [u8],
    request: &Request,
    exchange: &Exchange<'_, SocketAddr>,
    policy: &Policy,
) -> Answer {
    if buffer.len() < REPLY_ROOM {
        return Answer::silence(Outcome::NoRoom);
    }
    let plain = Extras::default();
    let extras = policy.extras.as_ref().unwrap_or(&plain);
    if extras.drop_zero_transaction && buffer.get(8..HEADER) == Some(&[0; 12]) {
        return Answer::silence(Outcome::ZeroTransaction);
    }
    match &extras.credentials {
        Some(_) if request.dialect == Dialect::Classic => Answer::silence(Outcome::NoCookie),
        Some(credentials) => {
            authentication::respond(buffer, request, exchange.source, credentials, |buffer, request| {
                admitted(buffer, request, exchange, policy, extras)
            })
        }
        None => admitted(buffer, request, exchange, policy, extras),
    }
}

/// Answers a request of somebody who may ask.
fn admitted(
    buffer: &mut [u8],
    request: &Request,
    exchange: &Exchange<'_, SocketAddr>,
    policy: &Policy,
    extras: &Extras,
) -> Answer {
    let discovery = policy.discovery(&exchange.destination);
    // The reply stands where the attributes do, so what they say is gathered before it is written.
    let attributes = buffer.get(HEADER..request.length).unwrap_or_default();
    // A stream has no other endpoint to send from, no other port to send to, and no fragments.
    let served = discovery.is_some() && exchange.transport == Transport::Datagram;
    let requested = match Requested::of(attributes, request.dialect, served) {
        Ok(requested) => requested,
        Err(outcome) => return Answer::silence(outcome),
    };
    let (outcome, length) = if !requested.unknown.types().is_empty() {
        (Outcome::UnknownAttribute, unknown_attribute(buffer, request, requested.unknown.types()))
    } else if requested.port == Some(0) || requested.port.is_some() && requested.padding {
        (
            Outcome::BadRequest,
            error(Writer::new(buffer), request, &BAD_REQUEST, BARE_ERROR).finish(request, BINDING_ERROR),
        )
    } else if let Some(writer) = elsewhere(buffer, request, exchange, extras, &requested) {
        (Outcome::Redirected, writer.finish(request, BINDING_ERROR))
    } else {
        let success = Success { request, exchange, discovery, software: extras.software.as_ref() };
        let outcome = match request.dialect {
            Dialect::Cookie => Outcome::Answered,
            Dialect::Classic => Outcome::AnsweredClassic,
        };
        let length = success.write(buffer, &requested);
        let port = requested.port.and_then(NonZeroU16::new);
        return match length {
            Some(length) => Answer { outcome, length, change: requested.change, port },
            None => Answer::silence(Outcome::NoRoom),
        };
    };
    length.map_or(Answer::silence(Outcome::NoRoom), |length| Answer::reply(outcome, length))
}

/// Begins an error response. `least` is what its attributes need with an empty reason phrase; the
/// phrase is told if the reply is then still no longer than the request.
fn error<'a>(mut writer: Writer<'a>, request: &Request, error: &Error, least: usize) -> Writer<'a> {
    let padded = error.reason.len().next_multiple_of(4);
    let fits = HEADER + least + padded + request.fingerprint_length() <= request.room;
    let reason = if fits { error.reason } else { "" };
    // RFC 3489 §11.2.9 knows no padding: there the phrase is filled up with spaces, which count.
    let spaces = match request.dialect {
        Dialect::Classic if fits => [b' '; 3].get(..padded - error.reason.len()).unwrap_or_default(),
        _ => &[],
    };
    writer.attribute(ERROR_CODE, &[&error.code, reason.as_bytes(), spaces]);
    writer
}

/// A 420 (RFC 8489 §6.3.1, RFC 3489 §11.2.9, §11.2.10): of the `unknown` types it names as many as keep
/// it no longer than the request.
fn unknown_attribute(buffer: &mut [u8], request: &Request, unknown: &[u16]) -> Option<usize> {
    let frugal = HEADER + BARE_ERROR + 4 + request.fingerprint_length();
    // Two types take the room of one, so there is always room for them.
    let fitting = (request.room.saturating_sub(frugal) / 2).max(2);
    let types = unknown.get(..fitting).unwrap_or(unknown);
    let list = (types.len() * 2).next_multiple_of(4);
    let mut writer = error(Writer::new(buffer), request, &UNKNOWN_ATTRIBUTE, BARE_ERROR + 4 + list);
    let mut bytes = [[0; 2]; MAX_UNKNOWN];
    for (place, kind) in bytes.iter_mut().zip(types) {
        *place = kind.to_be_bytes();
    }
    // RFC 3489 §11.2.10: an odd list is filled up with one of its types, where later RFCs pad.
    let count = match (request.dialect, types) {
        (Dialect::Classic, [.., last]) if types.len() % 2 == 1 => {
            if let Some(place) = bytes.get_mut(types.len()) {
                *place = last.to_be_bytes();
            }
            types.len() + 1
        }
        _ => types.len(),
    };
    writer.attribute(UNKNOWN_ATTRIBUTES, &[bytes.get(..count)?.as_flattened()]);
    writer.finish(request, BINDING_ERROR)
}

/// A 300 (RFC 8489 §10) without reason phrase, if the operator wants it and the client can follow it.
///
/// RFC 8489 §14.8 allows it only to a request that has proven its user, and wants it sealed, which
/// [`authentication`] does. None for a client in the midst of NAT behaviour discovery (RFC 5780 §5), and none that
/// is longer than its request: what proves a user may be somebody's who was listened to, sent again in
/// the name of another address. None over TLS either: a client asks the other server by the transport that
/// it came by (§10), and the operator names a port for UDP and TCP. The server of the other version of IP is
/// named too where there is room.
fn elsewhere<'a>(
    buffer: &'a mut [u8],
    request: &Request,
    exchange: &Exchange<'_, SocketAddr>,
    extras: &Extras,
    requested: &Requested,
) -> Option<Writer<'a>> {
    let (server, other) = extras.alternate_server.of(exchange.source)?;
    // With credentials only a proven request comes this far, and RFC 3489 clients never do.
    if extras.credentials.is_none() || exchange.transport == Transport::Tls || requested.discovery() {
        return None;
    }
    // Seal and FINGERPRINT are not counted on either side.
    let length = HEADER + BARE_ERROR + address_length(&server);
    if length > request.room {
        return None;
    }
    let mut writer = error(Writer::new(buffer), request, &TRY_ALTERNATE, BARE_ERROR);
    writer.address(ALTERNATE_SERVER, server);
    if let Some(other) = other.filter(|other| length + address_length(other) <= request.room) {
        writer.address(ALTERNATE_SERVER, other);
    }
    Some(writer)
}

/// What a success response tells.
struct Success<'a> {
    request: &'a Request,
    exchange: &'a Exchange<'a, SocketAddr>,
    discovery: Option<&'a Discovery>,
    software: Option<&'a Software>,
}

impl Success<'_> {
    /// Writes it and gives its length. The mapped address comes first: there are clients that look no
    /// further.
    fn write(&self, buffer: &mut [u8], requested: &Requested) -> Option<usize> {
        let Success { request, exchange, .. } = *self;
        let mut writer = Writer::new(buffer);
        let (origin, other) = match request.dialect {
            Dialect::Cookie => {
                writer.xor_address(XOR_MAPPED_ADDRESS, *exchange.source);
                (RESPONSE_ORIGIN, OTHER_ADDRESS)
            }
            Dialect::Classic => (SOURCE_ADDRESS, CHANGED_ADDRESS),
        };
        if self.discovery.is_some() || request.dialect == Dialect::Classic {
            writer.address(MAPPED_ADDRESS, *exchange.source);
        }
        if let Some(discovery) = self.discovery {
            writer.address(origin, discovery.public(&exchange.destination, requested.change)?);
            writer.address(other, discovery.public(&exchange.destination, Change::BOTH)?);
        }
        if let Some(software) = self.software.filter(|_| request.dialect == Dialect::Cookie) {
            writer.attribute(SOFTWARE, &[software.as_bytes()]);
        }
        if requested.padding {
            // RFC 5780 §6.1 wants the interface's MTU. As long as the request is as long as a request
            // can be answered without lending an attacker strength.
            writer.padding(PADDING, request.room, request.fingerprint_length());
        }
        writer.finish(request, BINDING_SUCCESS)
    }
}
