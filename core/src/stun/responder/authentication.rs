//! Replies of a server that requires credentials: with MESSAGE-INTEGRITY to authenticated clients, refusals
//! to all others.

use super::{
    Answer, REPLY_ROOM,
    crc::Crc,
    credentials::{Challenge, Credentials, Refusal, ReplyKey},
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

/// Class and number of the errors (RFC 8489 §14.8). The reason phrase is empty to keep challenges as short as
/// possible.
const BAD_REQUEST: [u8; 4] = [0, 0, 4, 0];
const UNAUTHENTICATED: [u8; 4] = [0, 0, 4, 1];
const STALE_NONCE: [u8; 4] = [0, 0, 4, 38];

const _: () = assert!(
    HEADER + 4 + BAD_REQUEST.len() + Challenge::MAX + FINGERPRINT_LENGTH <= REPLY_ROOM,
    "REPLY_ROOM must hold the longest challenge"
);

/// Answers `request`, whose message is at the start of `buffer` and came from `source`.
///
/// If `credentials` authenticate the sender, `answer` writes the reply, and this function appends an
/// integrity attribute computed with the client's key (RFC 8489 §9.1.3, §9.2.4). Otherwise the reply is a
/// refusal.
///
/// `answer` gets the request without its FINGERPRINT, and with a `room` reduced by what is appended here, so
/// that the bound on the reply's length still holds afterwards.
pub(super) fn respond(
    buffer: &mut [u8],
    request: &Request,
    source: &SocketAddr,
    credentials: &Credentials,
    answer: impl FnOnce(&mut [u8], &Request) -> Answer,
) -> Answer {
    let message = buffer.get(..request.length).unwrap_or_default();
    let reply_key = match credentials.authenticate(message, source) {
        Ok(reply_key) => reply_key,
        Err(refusal) => {
            let (outcome, length) = refuse(buffer, request, &refusal);
            return length.map_or(Answer::silence(Outcome::NoRoom), |length| Answer::reply(outcome, length));
        }
    };
    let room = request.length.saturating_sub(reply_key.integrity.length() + request.fingerprint_length());
    let answer = answer(buffer, &Request { room, fingerprint: None, ..*request });
    if answer.length == 0 {
        return answer;
    }
    let length = append_proof(buffer, answer.length, reply_key, request.fingerprint.is_some());
    length.map_or(Answer::silence(Outcome::NoRoom), |length| Answer { length, ..answer })
}

/// Appends the integrity attribute, and FINGERPRINT if wanted, to the reply in `buffer[..end]`. Returns the
/// new length, or `None` if the buffer is too short.
fn append_proof(
    buffer: &mut [u8],
    end: usize,
    reply_key: ReplyKey<'_>,
    with_fingerprint: bool,
) -> Option<usize> {
    let end = reply_key.integrity.append(reply_key.key, buffer, end)?;
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

/// Writes the error response. Returns its length, or `None` if the buffer is too short.
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
