//! The reply of a server with credentials: what the others get is sealed, or refused.

use super::{
    Answer, REPLY_ROOM,
    attributes::{FINGERPRINT, FINGERPRINT_LENGTH},
    credentials::{Challenge, Credentials, Refusal, Seal},
    crc::Crc,
    request::{FINGERPRINT_XOR, HEADER, Request},
};
use crate::outcome::Outcome;
use core::net::SocketAddr;

const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const PASSWORD_ALGORITHMS: u16 = 0x8002;

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
/// §9.1.3, §9.2.4). `admitted` is given a request without FINGERPRINT, and shorter by what is appended
/// here, so that what it holds no longer than the request stays so.
#[cold]
#[inline(never)]
pub(super) fn respond(
    buffer: &mut [u8],
    request: Request,
    source: &SocketAddr,
    credentials: &Credentials,
    admitted: impl FnOnce(&mut [u8], Request) -> Answer,
) -> Answer {
    let message = buffer.get(..request.length).unwrap_or_default();
    let wants_fingerprint = request.fingerprint.is_some();
    let answer = match credentials.admit(message, source) {
        Ok(seal) => {
            let mut tail = seal.integrity.length();
            if wants_fingerprint {
                tail += FINGERPRINT_LENGTH;
            }
            let length = request.length.saturating_sub(tail);
            let answer = admitted(buffer, Request { length, fingerprint: None, ..request });
            if answer.length == 0 {
                return answer;
            }
            sealed(buffer, answer, seal)
        }
        Err(refusal) => refuse(buffer, &refusal),
    };
    match answer {
        Some(answer) if wants_fingerprint => fingerprinted(buffer, answer),
        answer => answer,
    }
    .unwrap_or(Answer::silence(Outcome::NoRoom))
}

fn sealed(buffer: &mut [u8], answer: Answer, seal: Seal<'_>) -> Option<Answer> {
    let length = seal.integrity.append(seal.key, buffer, answer.length)?;
    Some(Answer { length, ..answer })
}

/// Appends the FINGERPRINT that is owed to a request with one (RFC 8489 §14.7).
fn fingerprinted(buffer: &mut [u8], answer: Answer) -> Option<Answer> {
    let length = answer.length + FINGERPRINT_LENGTH;
    set_length(buffer, length)?;
    let crc = Crc::new().update(buffer.get(..answer.length)?).finish() ^ FINGERPRINT_XOR;
    append(buffer, answer.length, FINGERPRINT, &crc.to_be_bytes())?;
    Some(Answer { length, ..answer })
}

/// Writes the error response, without FINGERPRINT.
fn refuse(buffer: &mut [u8], refusal: &Refusal<'_>) -> Option<Answer> {
    let (outcome, code, challenge) = match refusal {
        Refusal::BadRequest => (Outcome::BadRequest, BAD_REQUEST, None),
        Refusal::Unauthenticated(challenge) => {
            (Outcome::Unauthenticated, UNAUTHENTICATED, challenge.as_ref())
        }
        Refusal::StaleNonce(challenge) => (Outcome::StaleNonce, STALE_NONCE, Some(challenge)),
    };
    let mut end = append(buffer, HEADER, ERROR_CODE, &code)?;
    if let Some(challenge) = challenge {
        end = append(buffer, end, REALM, challenge.realm.as_bytes())?;
        end = append(buffer, end, NONCE, &challenge.nonce)?;
        end = append(buffer, end, PASSWORD_ALGORITHMS, &Challenge::ALGORITHMS)?;
    }
    buffer.get_mut(..2)?.copy_from_slice(&BINDING_ERROR.to_be_bytes());
    set_length(buffer, end)?;
    Some(Answer { outcome, length: end })
}

/// Writes an attribute with its padding at `end` and gives the new end, or `None` where there is no room.
fn append(buffer: &mut [u8], end: usize, kind: u16, value: &[u8]) -> Option<usize> {
    let new_end = end + 4 + value.len().next_multiple_of(4);
    let (head, rest) = buffer.get_mut(end..new_end)?.split_first_chunk_mut::<4>()?;
    let [t0, t1] = kind.to_be_bytes();
    let [l0, l1] = u16::try_from(value.len()).ok()?.to_be_bytes();
    *head = [t0, t1, l0, l1];
    let (place, padding) = rest.split_at_mut_checked(value.len())?;
    place.copy_from_slice(value);
    padding.fill(0);
    Some(new_end)
}

fn set_length(buffer: &mut [u8], length: usize) -> Option<()> {
    let field = u16::try_from(length - HEADER).ok()?.to_be_bytes();
    buffer.get_mut(2..4)?.copy_from_slice(&field);
    Some(())
}
