//! The replies of a server with credentials: sealed for those who may ask, refusals for the others.

use super::{
    Answer, REPLY_ROOM,
    crc::Crc,
    credentials::{Challenge, Credentials, Refusal, Seal},
    fingerprint::{FINGERPRINT_LENGTH, fingerprint},
    request::Request,
    wire::{
        BINDING_ERROR, HEADER,
        attribute::{ERROR_CODE, NONCE, PASSWORD_ALGORITHMS, REALM},
        type_and_length,
    },
    writer::Writer,
};
use crate::outcome::Outcome;
use core::net::SocketAddr;

/// Class and number of the errors (RFC 8489 §14.8). Their reason phrase is empty: a challenge must be as
/// short as can be.
const BAD_REQUEST: [u8; 4] = [0, 0, 4, 0];
const UNAUTHENTICATED: [u8; 4] = [0, 0, 4, 1];
const STALE_NONCE: [u8; 4] = [0, 0, 4, 38];

const _: () = assert!(
    HEADER + 4 + BAD_REQUEST.len() + Challenge::MAX + FINGERPRINT_LENGTH <= REPLY_ROOM,
    "every challenge must fit into the room that there is for replies"
);

/// Answers `request`, which stands at the start of `buffer` and came from `source`, as `admitted` does if
/// `credentials` admit it. That reply is sealed with what the client proved that it knows (RFC 8489
/// §9.1.3, §9.2.4). `admitted` is given a request without FINGERPRINT, and room for less by what is
/// appended here, so that what it holds no longer than the request stays so.
pub(super) fn respond(
    buffer: &mut [u8],
    request: &Request,
    source: &SocketAddr,
    credentials: &Credentials,
    admitted: impl FnOnce(&mut [u8], &Request) -> Answer,
) -> Answer {
    let message = buffer.get(..request.length).unwrap_or_default();
    let seal = match credentials.admit(message, source) {
        Ok(seal) => seal,
        Err(refusal) => {
            let (outcome, length) = refuse(buffer, request, &refusal);
            return length.map_or(Answer::silence(Outcome::NoRoom), |length| Answer::reply(outcome, length));
        }
    };
    let room = request.length.saturating_sub(seal.integrity.length() + request.fingerprint_length());
    let answer = admitted(buffer, &Request { room, fingerprint: None, ..*request });
    if answer.length == 0 {
        return answer;
    }
    let length = close(buffer, answer.length, seal, request.fingerprint.is_some());
    length.map_or(Answer::silence(Outcome::NoRoom), |length| Answer { length, ..answer })
}

/// Appends integrity and FINGERPRINT to the reply in `buffer[..end]`, and gives its new length.
fn close(buffer: &mut [u8], end: usize, seal: Seal<'_>, with_fingerprint: bool) -> Option<usize> {
    let end = seal.integrity.append(seal.key, buffer, end)?;
    if !with_fingerprint {
        return Some(end);
    }
    let new_end = end + FINGERPRINT_LENGTH;
    let [_, _, length @ ..] = type_and_length(0, new_end - HEADER);
    buffer.get_mut(2..4)?.copy_from_slice(&length);
    let attribute = fingerprint(Crc::new().update(buffer.get(..end)?));
    buffer.get_mut(end..new_end)?.copy_from_slice(&attribute);
    Some(new_end)
}

/// Writes the error response, and gives its length.
fn refuse(buffer: &mut [u8], request: &Request, refusal: &Refusal<'_>) -> (Outcome, Option<usize>) {
    let (outcome, code, challenge) = match refusal {
        Refusal::BadRequest => (Outcome::BadRequest, BAD_REQUEST, None),
        Refusal::Unauthenticated(challenge) => {
            (Outcome::Unauthenticated, UNAUTHENTICATED, challenge.as_ref())
        }
        Refusal::StaleNonce(challenge) => (Outcome::StaleNonce, STALE_NONCE, Some(challenge)),
    };
    let mut writer = Writer::new(buffer);
    writer.attribute(ERROR_CODE, &[&code]);
    if let Some(challenge) = challenge {
        writer.attribute(REALM, &[challenge.realm.as_bytes()]);
        writer.attribute(NONCE, &[&challenge.nonce]);
        writer.attribute(PASSWORD_ALGORITHMS, &[&Challenge::ALGORITHMS]);
    }
    (outcome, writer.finish(request, BINDING_ERROR))
}
