//! The credentials of the users, read from their file, and the clock of the nonces.

use crate::config::LiveConfig;
use crate::credentials_file;
use crate::error::{Failure, Result};
use std::time::Instant;
use xstun_core::stun::Policy;
use xstun_core::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, ShortTerm};

/// Makes [`Credentials`], and keeps the secret and the clock that they share.
pub(super) struct CredentialStore {
    /// One secret for the life of the process, so that reading the file again makes no nonce stale.
    nonces: Nonces,
    clock: CoarseClock,
    start: Instant,
}

impl CredentialStore {
    /// Draws the secret.
    ///
    /// # Errors
    /// System: getrandom(2) failed.
    pub(super) fn new() -> Result<Self> {
        let mut secret = [0; 32];
        random(&mut secret)?;
        let clock = CoarseClock::default();
        Ok(CredentialStore { nonces: Nonces::new(secret, clock.clone()), clock, start: Instant::now() })
    }

    /// Sets the clock that the workers read.
    pub(super) fn tick(&self) {
        self.clock.set(self.start.elapsed().as_secs());
    }

    /// Reads the file of users that `live` names, if any, and returns the policy with their credentials
    /// and the number of users; `None` if everybody is answered.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is wrong.
    pub(super) fn policy(&self, live: &LiveConfig) -> Result<(Policy, Option<usize>)> {
        let Some(wanted) = &live.credentials else { return Ok((live.policy(None), None)) };
        let file = credentials_file::read(&wanted.file)?;
        if file.is_public {
            tracing::warn!(
                "every user of this host can read the passwords in --credentials {0}; run chmod o-r {0}",
                wanted.file.display()
            );
        }
        let users = file.users.iter().map(|user| (user.name.as_bytes(), user.password.as_bytes()));
        let credentials = match &wanted.realm {
            Some(realm) => Credentials::LongTerm(LongTerm::new(users, realm.clone(), self.nonces.clone())),
            None => Credentials::ShortTerm(ShortTerm::new(users)),
        };
        Ok((live.policy(Some(credentials)), Some(file.users.len())))
    }
}

fn random(bytes: &mut [u8; 32]) -> Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                return Err(Failure::system("cannot draw random numbers for nonces").because(errno));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
