//! Authentication of requests with a name and a password (RFC 8489 §9.1.2, §9.2.3, §9.2.5).

mod challenge;

pub(super) use challenge::AuthChallenge;

use super::message::attributes::{self, kind};
use super::message::{TransactionId, binding_request, push_fingerprint};
use crate::cli::{Mechanism, ProbeCredentialsArgs};
use crate::credentials_file;
use crate::error::{Failure, Result};
use xstun_core::stun::credentials::{md5_key, userhash};
use xstun_core::stun::integrity::Integrity;

/// A name, a password, and the mechanism to authenticate with.
pub(super) struct Login {
    name: String,
    password: String,
    mechanism: Mechanism,
}

impl Login {
    /// Returns the login that the flags name, if they do. Reads the password file.
    ///
    /// # Errors
    /// The password file cannot be read, or STUN does not allow the name or the password.
    pub(super) fn from_args(args: &ProbeCredentialsArgs) -> Result<Option<Self>> {
        let (Some(name), Some(file)) = (&args.user, &args.password_file) else { return Ok(None) };
        credentials_file::check_name(name)
            .map_err(|reason| Failure::usage(format!("invalid --user '{name}': {reason}")))?;
        let password = credentials_file::read_password(file)?;
        Ok(Some(Login { name: name.clone(), password, mechanism: args.auth.unwrap_or_default() }))
    }

    /// Returns the first request. With a short-term credential it is authenticated; with a long-term one
    /// it is not, because the server's challenge must come first.
    pub(super) fn first_request(&self, id: TransactionId, fingerprint: bool) -> ProbeRequest {
        match self.mechanism {
            Mechanism::LongTerm => ProbeRequest::unauthenticated(id, fingerprint),
            Mechanism::ShortTerm => {
                let mut request = RequestBuilder::new(&id);
                request.attribute(kind::USERNAME, self.name.as_bytes());
                let key = self.password.as_bytes();
                // It is not known which of them the server checks. The stronger one comes last.
                request.integrity(Integrity::Sha1, key);
                request.integrity(Integrity::Sha256, key);
                ProbeRequest { bytes: request.finish(fingerprint), id, key: Some(key.into()) }
            }
        }
    }

    /// Returns the request that answers `challenge`.
    pub(super) fn authenticated_request(
        &self,
        challenge: &AuthChallenge,
        id: TransactionId,
        fingerprint: bool,
    ) -> ProbeRequest {
        let (name, password) = (self.name.as_bytes(), self.password.as_bytes());
        let mut request = RequestBuilder::new(&id);
        if challenge.anonymous {
            request.attribute(kind::USERHASH, &userhash(name, &challenge.realm));
        } else {
            request.attribute(kind::USERNAME, name);
        }
        request.attribute(kind::REALM, &challenge.realm);
        request.attribute(kind::NONCE, &challenge.nonce);
        let key = match &challenge.algorithms {
            Some((list, chosen)) => {
                request.attribute(kind::PASSWORD_ALGORITHMS, list);
                request.attribute(kind::PASSWORD_ALGORITHM, &chosen.value());
                let key = chosen.key(name, &challenge.realm, password);
                request.integrity(Integrity::Sha256, &key);
                key
            }
            None => {
                let key = md5_key(name, &challenge.realm, password).to_vec();
                request.integrity(Integrity::Sha1, &key);
                key
            }
        };
        ProbeRequest { bytes: request.finish(fingerprint), id, key: Some(key) }
    }
}

/// A request, and the key that its reply must be authenticated with.
pub(super) struct ProbeRequest {
    pub(super) bytes: Vec<u8>,
    pub(super) id: TransactionId,
    key: Option<Vec<u8>>,
}

impl ProbeRequest {
    /// Returns a request without credentials.
    pub(super) fn unauthenticated(id: TransactionId, fingerprint: bool) -> Self {
        ProbeRequest { bytes: binding_request(&id, fingerprint), id, key: None }
    }

    /// Whether the request carries credentials.
    pub(super) fn is_authenticated(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the sender of a success response knows the password. Always true if the request carries no
    /// credentials.
    pub(super) fn authenticates(&self, reply: &[u8]) -> bool {
        let Some(key) = &self.key else { return true };
        [Integrity::Sha256, Integrity::Sha1].into_iter().any(|integrity| {
            attributes::find(reply, integrity.kind())
                .is_some_and(|attribute| integrity.is_right(key, reply, attribute.start))
        })
    }
}

/// A request under construction.
struct RequestBuilder(Vec<u8>);

impl RequestBuilder {
    fn new(id: &TransactionId) -> Self {
        RequestBuilder(binding_request(id, false))
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        attributes::push(&mut self.0, kind, value);
    }

    fn integrity(&mut self, integrity: Integrity, key: &[u8]) {
        let end = self.0.len();
        self.0.resize(end + integrity.length(), 0);
        // Cannot fail, because the header and the room are there. If it did, the server would reject the
        // request.
        let _ = integrity.append(key, &mut self.0, end);
    }

    fn finish(mut self, fingerprint: bool) -> Vec<u8> {
        if fingerprint {
            push_fingerprint(&mut self.0);
        }
        self.0
    }
}

#[cfg(test)]
mod tests;
