//! The users' file and the clock of their nonces, on the control thread.

use crate::config::{self, Config};
use crate::error::{Failure, Result};
use crate::stun::credentials::{CoarseClock, Credentials, LongTerm, Nonces, ShortTerm};
use crate::stun::{Extras, Policy};
use crate::users;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Instant;

/// Keeps what the workers cannot: the file, the secret and the clock behind [`Credentials`].
pub(super) struct Access {
    wanted: config::Access,
    /// Of the whole life of the process, so that reading the file again makes no nonce stale.
    nonces: Nonces,
    clock: CoarseClock,
    start: Instant,
}

impl Access {
    /// Reads the users' file for the first time and puts the credentials into `config`. `None` where
    /// everybody may ask.
    ///
    /// # Errors
    /// The file is wrong or cannot be read, or the kernel has no random numbers.
    pub(super) fn open(config: &mut Config) -> Result<Option<Self>> {
        let Some(wanted) = config.access.clone() else { return Ok(None) };
        let mut secret = [0; 32];
        random(&mut secret)?;
        let clock = CoarseClock::default();
        let nonces = Nonces::new(secret, clock.clone());
        let access = Access { wanted, nonces, clock, start: Instant::now() };
        let (credentials, count) = access.read()?;
        set(&mut config.policy, credentials);
        tracing::info!(users = count, mechanism = access.mechanism(), "only users are answered");
        Ok(Some(access))
    }

    /// Tells the workers how late it is.
    pub(super) fn tick(&self) {
        self.clock.set(self.start.elapsed().as_secs());
    }

    /// Reads the users' file again, and gives the number of users who may ask from now on.
    ///
    /// # Errors
    /// What is wrong with the file; the users of before still may ask.
    pub(super) fn reload(&self, policy: &ArcSwap<Policy>) -> Result<usize> {
        let (credentials, count) = self.read()?;
        let mut changed = Policy::clone(&policy.load());
        set(&mut changed, credentials);
        policy.store(Arc::new(changed));
        Ok(count)
    }

    fn read(&self) -> Result<(Credentials, usize)> {
        let file = users::read(&self.wanted.file)?;
        if file.is_public {
            tracing::warn!(
                "anybody on this host may read the passwords in --credentials {0}; chmod o-r {0}",
                self.wanted.file.display()
            );
        }
        let users = file.users.iter().map(|user| (user.name.as_bytes(), user.password.as_bytes()));
        let credentials = match &self.wanted.realm {
            Some(realm) => Credentials::LongTerm(LongTerm::new(users, realm.clone(), self.nonces.clone())),
            None => Credentials::ShortTerm(ShortTerm::new(users)),
        };
        Ok((credentials, file.users.len()))
    }

    fn mechanism(&self) -> &'static str {
        if self.wanted.realm.is_some() { "long-term" } else { "short-term" }
    }
}

fn set(policy: &mut Policy, credentials: Credentials) {
    policy.extras.get_or_insert_with(Extras::default).credentials = Some(Arc::new(credentials));
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
