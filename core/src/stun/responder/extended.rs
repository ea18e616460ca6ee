//! The extended path to a reply: for requests that ask for more than their address, and for a policy with
//! [`Extras`].

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

const _: () =
    assert!(MAX_UNKNOWN.is_multiple_of(2), "a list with an odd number of types must have room for one more");

/// Class and number of an error (RFC 8489 §14.8), and its reason phrase, which is left out if it would make
/// the reply longer than the request.
struct ErrorCode {
    code: [u8; 4],
    reason: &'static str,
}

const TRY_ALTERNATE: ErrorCode = ErrorCode { code: [0, 0, 3, 0], reason: "" };
const BAD_REQUEST: ErrorCode = ErrorCode { code: [0, 0, 4, 0], reason: "Bad Request" };
const UNKNOWN_ATTRIBUTE: ErrorCode = ErrorCode { code: [0, 0, 4, 20], reason: "Unknown Attribute" };

/// Answers `request`, whose message is at the start of `buffer`.
///
/// The checks, in this order:
///
/// 1. a transaction ID of zeros, if the policy drops it: silence
/// 2. credentials, if the policy requires them: 400, 401 or 438; silence for a classic request
/// 3. attributes with invalid values: silence
/// 4. unknown comprehension-required attributes: 420
/// 5. combinations that RFC 5780 §6.1 forbids: 400
/// 6. an alternate server, for authenticated clients: 300
///
/// A request that passes all of them gets a success response.
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
                answer(buffer, request, exchange, policy, extras)
            })
        }
        None => answer(buffer, request, exchange, policy, extras),
    }
}

/// Answers a request whose sender is authenticated, or need not be: steps 3 to 6 of [`respond`].
fn answer(
    buffer: &mut [u8],
    request: &Request,
    exchange: &Exchange<'_, SocketAddr>,
    policy: &Policy,
    extras: &Extras,
) -> Answer {
    let discovery = policy.discovery(&exchange.destination);
    // The reply overwrites the attributes, so they are read first.
    let attributes = buffer.get(HEADER..request.length).unwrap_or_default();
    // A reply on a stream cannot leave from another endpoint or go to another port, and is not fragmented.
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
    } else if let Some(writer) = redirection(buffer, request, exchange, extras, &requested) {
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

/// Begins an error response. `least` is the length of all its attributes with an empty reason phrase. The
/// phrase is included if the reply then is still no longer than the request.
fn error<'a>(mut writer: Writer<'a>, request: &Request, error: &ErrorCode, least: usize) -> Writer<'a> {
    let padded = error.reason.len().next_multiple_of(4);
    let fits = HEADER + least + padded + request.fingerprint_length() <= request.room;
    let reason = if fits { error.reason } else { "" };
    // RFC 3489 §11.2.9 has no padding: spaces, which count for the length, fill the phrase up to a multiple
    // of four.
    let spaces = match request.dialect {
        Dialect::Classic if fits => [b' '; 3].get(..padded - error.reason.len()).unwrap_or_default(),
        _ => &[],
    };
    writer.attribute(ERROR_CODE, &[&error.code, reason.as_bytes(), spaces]);
    writer
}

/// Writes a 420 (RFC 8489 §6.3.1, RFC 3489 §11.2.9, §11.2.10). It names as many of the `unknown` types as it
/// can without becoming longer than the request, and at least two.
fn unknown_attribute(buffer: &mut [u8], request: &Request, unknown: &[u16]) -> Option<usize> {
    let empty = HEADER + BARE_ERROR + 4 + request.fingerprint_length();
    // One type is always named. With the padding, two take no more room.
    let fitting = (request.room.saturating_sub(empty) / 2).max(2);
    let types = unknown.get(..fitting).unwrap_or(unknown);
    let list = (types.len() * 2).next_multiple_of(4);
    let mut writer = error(Writer::new(buffer), request, &UNKNOWN_ATTRIBUTE, BARE_ERROR + 4 + list);
    let mut bytes = [[0; 2]; MAX_UNKNOWN];
    for (slot, kind) in bytes.iter_mut().zip(types) {
        *slot = kind.to_be_bytes();
    }
    // RFC 3489 §11.2.10: a list with an odd number of types repeats one of them, where later RFCs add
    // padding.
    let count = match (request.dialect, types) {
        (Dialect::Classic, [.., last]) if types.len() % 2 == 1 => {
            if let Some(slot) = bytes.get_mut(types.len()) {
                *slot = last.to_be_bytes();
            }
            types.len() + 1
        }
        _ => types.len(),
    };
    writer.attribute(UNKNOWN_ATTRIBUTES, &[bytes.get(..count)?.as_flattened()]);
    writer.finish(request, BINDING_ERROR)
}

/// Begins a redirection (300, RFC 8489 §10) without reason phrase, if the policy has an alternate server for
/// the client.
///
/// Names the alternate server of the other IP version too if there is room. Returns `None` if:
///
/// - The server does not require credentials. RFC 8489 §14.8 allows a 300 only to an authenticated request, and
///   requires MESSAGE-INTEGRITY in it, which [`authentication`] appends.
/// - The request is part of NAT behaviour discovery (RFC 5780 §5).
/// - The redirection would be longer than the request. An attacker could capture an authenticated request and
///   replay it from a forged source.
/// - The request came over TLS. The client contacts the alternate server over the same transport (§10), and the
///   operator configures a port for UDP and TCP only.
fn redirection<'a>(
    buffer: &'a mut [u8],
    request: &Request,
    exchange: &Exchange<'_, SocketAddr>,
    extras: &Extras,
    requested: &Requested,
) -> Option<Writer<'a>> {
    let (server, other) = extras.alternate_server.of(exchange.source)?;
    // If the server requires credentials, the request is authenticated here, and is never a classic one.
    if extras.credentials.is_none() || exchange.transport == Transport::Tls || requested.uses_discovery() {
        return None;
    }
    // `room` is already reduced by the integrity attribute and FINGERPRINT, so they do not count here either.
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

/// What the content of a success response depends on.
struct Success<'a> {
    request: &'a Request,
    exchange: &'a Exchange<'a, SocketAddr>,
    discovery: Option<&'a Discovery>,
    software: Option<&'a Software>,
}

impl Success<'_> {
    /// Writes the response. Returns its length, or `None` if the buffer is too short. The mapped address
    /// comes first, because some clients read only the first attribute.
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
            // RFC 5780 §6.1 requires PADDING of the interface's MTU. Here it only makes the reply as long as
            // the request: a longer reply would amplify the traffic of an attacker who forges sources.
            writer.padding(PADDING, request.room, request.fingerprint_length());
        }
        writer.finish(request, BINDING_SUCCESS)
    }
}
