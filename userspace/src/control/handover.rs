//! One server after the other: what the running one serves with goes to a new process, which tells it to
//! end when it serves. Both sides of the talk, and `xstun drain`, which is a shorter one.
//!
//! 1. The new process asks; the old one sends duplicates of its UDP sockets, listeners and attachments.
//!    From here on both take from the same queues of the kernel.
//! 2. For each interface the new one puts its own XDP program, whose map of sockets is empty, into the
//!    place of the old one's: frames pass to the sockets. The old one answers what its queues hold, closes
//!    them and says so; the new one binds the queues and enters them into its map.
//! 3. The new one says that it serves; the old one says that it ends, stops reading, and ends when its
//!    connections have.
//!
//! Should the new process end before that, the old one puts its programs back and goes on. How long the new
//! one takes is no reason to: only one of them may think that it serves.

mod wire;

use crate::datapath::{Inheritance, InheritedLink};
use crate::error::{Failure, Result};
use crate::privileges;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::{MOST_DESCRIPTORS, Message, Post, VERSION, Wire};

/// What the one at the control socket wants of the control loop, and where the answer goes.
pub(super) enum Order {
    /// Duplicates of all that it serves with.
    Bequeath(SyncSender<Result<Inheritance>>),
    /// The queues of the interface of this index closed.
    Release(u32, SyncSender<()>),
    /// The end: another process serves.
    Done,
    /// The other process is gone and does not serve.
    GivenUp,
    /// Draining; the answer is how long it takes.
    Drain(SyncSender<Duration>),
}

/// The control socket of a running server.
pub(super) struct Door {
    orders: mpsc::Receiver<Order>,
    _open: mpsc::Sender<Order>,
    /// Where its socket is, and which one it is.
    place: Option<(PathBuf, Id)>,
}

/// Device and inode, which a socket that is open keeps from being another's.
type Id = (u64, u64);

fn id(path: &Path) -> io::Result<Id> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Door {
    /// Listens at `path`, if there is one, on a thread of its own.
    ///
    /// # Errors
    /// The path cannot be had.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let (open, orders) = mpsc::channel(1);
        let mut place = None;
        if let Some(path) = path {
            let post = Post::listen(path)?;
            place = id(path).ok().map(|id| (path.to_owned(), id));
            let orders = open.clone();
            thread::Builder::new()
                .name("control".into())
                .spawn(move || attend(&post, &orders))
                .map_err(|error| Failure::system("cannot start a thread for --control").because(error))?;
        }
        Ok(Door { orders, _open: open, place })
    }

    /// Waits for the next order. Nothing is lost if the wait is given up.
    pub(super) async fn order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => unreachable!("`_open` is a sender of this channel"),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Another server may have put its own there, and gone already is as good.
        if let Some((path, own)) = &self.place
            && id(path).is_ok_and(|found| found == *own)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The thread: one talk after the other. It ends with the process.
fn attend(post: &Post, orders: &mpsc::Sender<Order>) {
    if let Err(failure) = privileges::give_up() {
        tracing::warn!("--control is not listened on: {failure}");
        return;
    }
    loop {
        let talked = post.accept().and_then(|wire| talk(&wire, orders));
        if let Err(error) = talked {
            tracing::warn!("a talk over --control failed: {error}");
            // Want of memory or files, told again at once, must not make it spin.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn talk(wire: &Wire, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    match wire.receive()? {
        Some((Message::TakeOver { version: VERSION }, _)) => give(wire, orders),
        Some((Message::TakeOver { version }, _)) => {
            let why = format!("it speaks version {VERSION} of the hand-over, and the new one {version}");
            wire.send(&Message::Refused { why }, &[])
        }
        Some((Message::Drain, _)) => {
            let time = ask(orders, Order::Drain)?;
            wire.send(&Message::Draining { seconds: time.as_secs_f64() }, &[])
        }
        _ => Ok(()),
    }
}

/// Gives an order to the control loop and waits for its answer.
fn ask<T>(orders: &mpsc::Sender<Order>, order: impl FnOnce(SyncSender<T>) -> Order) -> io::Result<T> {
    let ended = || io::Error::other("this server is ending");
    let (reply, answer) = sync_channel(1);
    orders.blocking_send(order(reply)).map_err(|_| ended())?;
    answer.recv().map_err(|_| ended())
}

/// The old server's side.
fn give(wire: &Wire, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    let inheritance = match ask(orders, Order::Bequeath)? {
        Ok(inheritance) => inheritance,
        Err(failure) => return wire.send(&Message::Refused { why: failure.to_string() }, &[]),
    };
    let handed = send_all(wire, inheritance).and_then(|()| follow(wire, orders)).and_then(|serves| {
        // Before the order: this server may be gone the moment that it has it, and the other one, not told,
        // would be gone too.
        if serves {
            wire.send(&Message::Ending, &[])?;
        }
        Ok(serves)
    });
    let order = if matches!(handed, Ok(true)) { Order::Done } else { Order::GivenUp };
    let _ = orders.blocking_send(order);
    handed.map(drop)
}

fn send_all(wire: &Wire, inheritance: Inheritance) -> io::Result<()> {
    for (address, sockets) in &inheritance.udp {
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
        for some in sockets.chunks(MOST_DESCRIPTORS) {
            wire.send(&Message::Udp { address: *address }, some)?;
        }
    }
    for (name, address, listener) in &inheritance.listeners {
        let message = Message::Listener { name: name.clone(), address: *address };
        wire.send(&message, &[listener.as_fd()])?;
    }
    for InheritedLink { interface, index, native, napi, link } in &inheritance.links {
        let (interface, index, native, napi) = (interface.clone(), *index, *native, *napi);
        wire.send(&Message::Link { interface, index, native, napi }, &[link.as_fd()])?;
    }
    wire.send(&Message::Complete, &[])
}

/// Does what the new server says until it serves; false if it ended before.
fn follow(wire: &Wire, orders: &mpsc::Sender<Order>) -> io::Result<bool> {
    wire.be_patient()?;
    loop {
        match wire.receive()? {
            Some((Message::Release { index }, _)) => {
                ask(orders, |reply| Order::Release(index, reply))?;
                wire.send(&Message::Released, &[])?;
            }
            Some((Message::Done, _)) => return Ok(true),
            _ => return Ok(false),
        }
    }
}

/// The new server's side.
pub(super) struct Successor(Wire);

impl Successor {
    /// Asks the server that listens at `path` for all that it serves with. `None` if there is none.
    ///
    /// # Errors
    /// It does not hand over, or cannot be talked with.
    pub(super) fn begin(path: &Path) -> Result<Option<(Self, Inheritance)>> {
        let Some(wire) = Wire::connect(path)? else { return Ok(None) };
        let inheritance = receive_all(&wire).map_err(|error| broken(path, error))?;
        let inheritance = inheritance.map_err(|why| {
            Failure::system(format!("the server at {} does not hand over", path.display()))
                .because(why)
                .remedy("stop it, then start this one")
        })?;
        Ok(Some((Successor(wire), inheritance)))
    }

    /// Has the old server close its queues of an interface.
    ///
    /// # Errors
    /// It is gone, or silent.
    pub(super) fn release(&self, index: u32) -> Result<()> {
        let released = self.0.send(&Message::Release { index }, &[]).and_then(|()| self.0.receive());
        match released {
            Ok(Some((Message::Released, _))) => Ok(()),
            Ok(_) => Err(Failure::system("the server to take over from has ended in between")),
            Err(error) => Err(Failure::system("the server to take over from does not answer").because(error)),
        }
    }

    /// Has the old server end.
    ///
    /// # Errors
    /// It does not say that it does: it may have taken everything back, so this one must not serve.
    pub(super) fn done(self) -> Result<()> {
        match self.0.send(&Message::Done, &[]).and_then(|()| self.0.receive()) {
            Ok(Some((Message::Ending, _))) => Ok(()),
            Ok(_) => Err(Failure::system("the server to take over from went away before it was told to end")),
            Err(error) => Err(Failure::system("the server to take over from does not end").because(error)),
        }
    }
}

fn receive_all(wire: &Wire) -> io::Result<Result<Inheritance, String>> {
    let mut all = Inheritance::default();
    let one = |descriptors: Vec<OwnedFd>| {
        descriptors.into_iter().next().ok_or_else(|| io::Error::other("a packet came without its descriptor"))
    };
    wire.send(&Message::TakeOver { version: VERSION }, &[])?;
    loop {
        match wire.receive()? {
            Some((Message::Udp { address }, sockets)) => {
                match all.udp.iter_mut().find(|(known, _)| *known == address) {
                    Some((_, known)) => known.extend(sockets),
                    None => all.udp.push((address, sockets)),
                }
            }
            Some((Message::Listener { name, address }, listener)) => {
                all.listeners.push((name, address, one(listener)?));
            }
            Some((Message::Link { interface, index, native, napi }, link)) => {
                all.links.push(InheritedLink { interface, index, native, napi, link: one(link)? });
            }
            Some((Message::Complete, _)) => return Ok(Ok(all)),
            Some((Message::Refused { why }, _)) => return Ok(Err(why)),
            Some(_) => return Err(io::Error::other("it says what was not asked")),
            None => return Err(io::Error::other("it hung up")),
        }
    }
}

/// Checks that no server listens at `path`.
///
/// # Errors
/// One does, or it cannot be told.
pub(super) fn is_free(path: &Path) -> Result<()> {
    match Wire::connect(path)? {
        None => Ok(()),
        Some(_) => Err(Failure::system(format!("another server listens at {} (--control)", path.display()))
            .remedy("take over from it with --take-over, or stop it first")),
    }
}

/// `xstun drain`: has the server at `path` drain, and gives how long it takes.
///
/// # Errors
/// Nobody listens there, or it cannot be talked with.
pub fn drain(path: &Path) -> Result<Duration> {
    let nobody = || {
        Failure::system(format!("no server listens at {} (--control)", path.display()))
            .remedy("`serve` must have the same --control; SIGUSR1 drains it without")
    };
    let wire = Wire::connect(path)?.ok_or_else(nobody)?;
    let answer = wire.send(&Message::Drain, &[]).and_then(|()| wire.receive());
    match answer.map_err(|error| broken(path, error))? {
        Some((Message::Draining { seconds }, _)) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Failure::system(format!("the server at {} did not answer", path.display()))),
    }
}

fn broken(path: &Path, error: io::Error) -> Failure {
    Failure::system(format!("cannot talk with the server at {} (--control)", path.display())).because(error)
}

#[cfg(test)]
mod tests;
