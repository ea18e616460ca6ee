//! The successor's side of a hand-over.

use crate::control::wire::{ControlConnection, ControlMessage, VERSION, broken};
use crate::datapath::{Inheritance, InheritedLink};
use crate::error::{Failure, Result};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A hand-over in progress, as the successor sees it.
pub(in crate::control) struct TakeOver(ControlConnection);

impl TakeOver {
    /// Asks the server that listens at `path` for everything that it serves with. `None` if there is none.
    ///
    /// # Errors
    /// System: it refuses, or the connection broke.
    pub(in crate::control) fn begin(path: &Path) -> Result<Option<(Self, Inheritance)>> {
        let Some(connection) = ControlConnection::connect(path)? else { return Ok(None) };
        let inheritance = receive_all(&connection).map_err(|error| broken(path, error))?;
        let inheritance = inheritance.map_err(|why| {
            Failure::system(format!("the server at {} refuses to hand over", path.display()))
                .of_value("--control", path.display())
                .because(why)
                .remedy("stop it, then start this one")
        })?;
        Ok(Some((TakeOver(connection), inheritance)))
    }

    /// Asks the predecessor to close its queues of the interface of this index, and waits until it has.
    ///
    /// # Errors
    /// System: it is gone, or does not answer in time.
    pub(in crate::control) fn release(&self, index: u32) -> Result<()> {
        let released = self.0.send(&ControlMessage::Release { index }, &[]).and_then(|()| self.0.receive());
        match released {
            Ok(Some((ControlMessage::Released, _))) => Ok(()),
            Ok(_) => Err(Failure::system("the server to take over from exited meanwhile")),
            Err(error) => Err(Failure::system("the server to take over from does not answer").because(error)),
        }
    }

    /// Reports that this server serves, and waits until the predecessor confirms that it ends.
    ///
    /// # Errors
    /// System: it does not confirm. It may have restored everything, so this server must not serve.
    pub(in crate::control) fn complete(self) -> Result<()> {
        match self.0.send(&ControlMessage::Done, &[]).and_then(|()| self.0.receive()) {
            Ok(Some((ControlMessage::Ending, _))) => Ok(()),
            Ok(_) => {
                Err(Failure::system("the server to take over from exited before it confirmed the hand-over"))
            }
            Err(error) => {
                Err(Failure::system("the server to take over from does not confirm the hand-over")
                    .because(error))
            }
        }
    }
}

/// Receives the inheritance, or the reason for a refusal.
fn receive_all(connection: &ControlConnection) -> io::Result<Result<Inheritance, String>> {
    let mut all = Inheritance::default();
    let one = |descriptors: Vec<OwnedFd>| {
        descriptors.into_iter().next().ok_or_else(|| io::Error::other("a message lacks its file descriptor"))
    };
    connection.send(&ControlMessage::TakeOver { version: VERSION }, &[])?;
    loop {
        match connection.receive()? {
            Some((ControlMessage::Udp { address }, sockets)) => {
                match all.udp.iter_mut().find(|(known, _)| *known == address) {
                    Some((_, known)) => known.extend(sockets),
                    None => all.udp.push((address, sockets)),
                }
            }
            Some((ControlMessage::Listener { name, address }, listener)) => {
                all.listeners.push((name, address, one(listener)?));
            }
            Some((ControlMessage::Link { interface, index, native, napi }, link)) => {
                all.links.push(InheritedLink { interface, index, native, napi, link: one(link)? });
            }
            Some((ControlMessage::Complete, _)) => return Ok(Ok(all)),
            Some((ControlMessage::Refused { why }, _)) => return Ok(Err(why)),
            Some(_) => return Err(io::Error::other("unexpected message")),
            None => return Err(io::Error::other("it closed the connection")),
        }
    }
}
