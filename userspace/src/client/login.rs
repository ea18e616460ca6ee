//! Proving who asks (RFC 8489 §9.1.2, §9.2.3, §9.2.5).

mod challenge;

pub(super) use challenge::Challenge;

use super::message::{Id, LONGEST_REQUEST, fingerprint_of, write_request};
use crate::cli::{LoginArgs, Mechanism};
use crate::error::{Failure, Result};
use crate::stun::credentials::{md5_key, sha256_key, userhash};
use crate::stun::integrity::Integrity;
use crate::users;

const USERNAME: u16 = 0x0006;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const PASSWORD_ALGORITHM: u16 = 0x001d;
const USERHASH: u16 = 0x001e;
const PASSWORD_ALGORITHMS: u16 = 0x8002;
const FINGERPRINT: u16 = 0x8028;

/// A name and a password.
pub(super) struct Login {
    name: String,
    password: String,
    mechanism: Mechanism,
}

impl Login {
    /// The one that the flags name, if they do. Reads the password.
    ///
    /// # Errors
    /// The password cannot be read, or name or password cannot be sent.
    pub(super) fn from_args(args: &LoginArgs) -> Result<Option<Self>> {
        let (Some(name), Some(file)) = (&args.user, &args.password_file) else { return Ok(None) };
        users::check_name(name).map_err(|why| Failure::usage(format!("--user '{name}': {why}")))?;
        let password = users::read_password(file)?;
        Ok(Some(Login { name: name.clone(), password, mechanism: args.auth.unwrap_or_default() }))
    }

    /// The first question: a short-term credential is proven at once, a long-term one when asked for.
    pub(super) fn first(&self, id: Id, fingerprint: bool) -> Question {
        match self.mechanism {
            Mechanism::LongTerm => Question::plain(id, fingerprint),
            Mechanism::ShortTerm => {
                let mut request = Request::new(&id);
                request.attribute(USERNAME, self.name.as_bytes());
                let key = self.password.as_bytes();
                // Both, since it is not known which of them the server checks; the stronger one is last.
                request.seal(Integrity::Sha1, key);
                request.seal(Integrity::Sha256, key);
                Question { bytes: request.end(fingerprint), id, key: Some(key.into()) }
            }
        }
    }

    /// The question that meets `challenge`.
    pub(super) fn meet(&self, challenge: &Challenge, id: Id, fingerprint: bool) -> Question {
        let (name, password) = (self.name.as_bytes(), self.password.as_bytes());
        let mut request = Request::new(&id);
        if challenge.anonymous {
            request.attribute(USERHASH, &userhash(name, &challenge.realm));
        } else {
            request.attribute(USERNAME, name);
        }
        request.attribute(REALM, &challenge.realm);
        request.attribute(NONCE, &challenge.nonce);
        let key = match &challenge.algorithms {
            Some((list, chosen)) => {
                request.attribute(PASSWORD_ALGORITHMS, list);
                request.attribute(PASSWORD_ALGORITHM, &chosen.value());
                let key = chosen.key(name, &challenge.realm, password);
                request.seal(Integrity::Sha256, &key);
                key
            }
            None => {
                let key = md5_key(name, &challenge.realm, password).to_vec();
                request.seal(Integrity::Sha1, &key);
                key
            }
        };
        Question { bytes: request.end(fingerprint), id, key: Some(key) }
    }
}

/// How a key is made of a password (RFC 8489 §18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// PASSWORD-ALGORITHM's value.
    fn value(self) -> [u8; 4] {
        match self {
            Algorithm::Md5 => [0, 1, 0, 0],
            Algorithm::Sha256 => [0, 2, 0, 0],
        }
    }

    fn key(self, name: &[u8], realm: &[u8], password: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Md5 => md5_key(name, realm, password).to_vec(),
            Algorithm::Sha256 => sha256_key(name, realm, password).to_vec(),
        }
    }
}

/// A request, and what its reply must prove.
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    pub(super) id: Id,
    key: Option<Vec<u8>>,
}

impl Question {
    /// One that proves nothing.
    pub(super) fn plain(id: Id, fingerprint: bool) -> Self {
        let mut bytes = vec![0; LONGEST_REQUEST];
        let length = write_request(&mut bytes, &id, fingerprint);
        bytes.truncate(length);
        Question { bytes, id, key: None }
    }

    /// Whether it proves who asks.
    pub(super) fn is_signed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a success response to it is from somebody who knows the password.
    pub(super) fn is_answered_by(&self, reply: &[u8]) -> bool {
        let Some(key) = &self.key else { return true };
        [Integrity::Sha256, Integrity::Sha1].into_iter().any(|integrity| {
            challenge::find(reply, integrity.kind())
                .is_some_and(|(start, _)| integrity.is_right(key, reply, start))
        })
    }
}

/// A request in the making.
struct Request(Vec<u8>);

impl Request {
    fn new(id: &Id) -> Self {
        let mut bytes = vec![0; LONGEST_REQUEST];
        let length = write_request(&mut bytes, id, false);
        bytes.truncate(length);
        Request(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn seal(&mut self, integrity: Integrity, key: &[u8]) {
        let end = self.0.len();
        self.0.resize(end + integrity.length(), 0);
        // There is a header, and room: it cannot fail, and a server would refuse what it left.
        let _ = integrity.append(key, &mut self.0, end);
    }

    fn end(mut self, fingerprint: bool) -> Vec<u8> {
        if fingerprint {
            let length = (self.0.len() + 8 - super::message::HEADER) as u16;
            self.0[2..4].copy_from_slice(&length.to_be_bytes());
            let crc = fingerprint_of(&self.0);
            self.attribute(FINGERPRINT, &crc.to_be_bytes());
        }
        self.0
    }
}

#[cfg(test)]
mod tests;
