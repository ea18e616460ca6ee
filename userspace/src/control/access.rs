//! The users' file and the clock of their nonces, on the control thread.

use crate::config::Config;
use crate::error::{Failure, Result};
use crate::stun::Extras;
use crate::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, ShortTerm};
use crate::users;
use std::sync::Arc;
use std::time::Instant;

/// Keeps what the workers cannot: the secret and the clock behind [`Credentials`].
pub(super) struct Access {
    /// Of the whole life of the process, so that reading the file again makes no nonce stale.
    nonces: Nonces,
    clock: CoarseClock,
    start: Instant,
}

impl Access {
    /// Draws the secret.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn new() -> Result<Self> {
        let mut secret = [0; 32];
        random(&mut secret)?;
        let clock = CoarseClock::default();
        Ok(Access { nonces: Nonces::new(secret, clock.clone()), clock, start: Instant::now() })
    }

    /// Tells the workers how late it is.
    pub(super) fn tick(&self) {
        self.clock.set(self.start.elapsed().as_secs());
    }

    /// Reads the users' file that `config` names and puts the credentials into its policy. Gives the
    /// number of users; `None` where everybody may ask.
    ///
    /// # Errors
    /// The file is wrong or cannot be read.
    pub(super) fn open(&self, config: &mut Config) -> Result<Option<usize>> {
        let Some(wanted) = &config.access else { return Ok(None) };
        let file = users::read(&wanted.file)?;
        if file.is_public {
            tracing::warn!(
                "anybody on this host may read the passwords in --credentials {0}; chmod o-r {0}",
                wanted.file.display()
            );
        }
        let users = file.users.iter().map(|user| (user.name.as_bytes(), user.password.as_bytes()));
        let credentials = match &wanted.realm {
            Some(realm) => Credentials::LongTerm(LongTerm::new(users, realm.clone(), self.nonces.clone())),
            None => Credentials::ShortTerm(ShortTerm::new(users)),
        };
        config.policy.extras.get_or_insert_with(Extras::default).credentials = Some(Arc::new(credentials));
        Ok(Some(file.users.len()))
    }
}

fn random(bytes: &mut [u8; 32]) -> Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                return Err(Failure::system("cannot get random numbers for nonces").because(errno));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
