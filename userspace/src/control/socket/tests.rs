use super::{ControlSocket, accept};
use crate::control::handover::TakeOver;
use crate::control::request::ControlRequest;
use crate::control::wire::{ControlConnection, ControlListener, ControlMessage, VERSION};
use crate::datapath::Inheritance;
use std::path::Path;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc;

/// The name of a request to the control loop.
fn name(request: &ControlRequest) -> &'static str {
    match request {
        ControlRequest::TakeOver(_) => "take over",
        ControlRequest::Release(..) => "release",
        ControlRequest::Complete => "complete",
        ControlRequest::Abandon => "abandon",
        ControlRequest::Drain(_) => "drain",
    }
}

/// A server that serves nothing: it handles the requests up to the one named `last`, and returns the names
/// of all of them.
fn server(path: &Path, last: &'static str) -> JoinHandle<Vec<&'static str>> {
    let listener = ControlListener::listen(path).unwrap();
    let (requests, mut received) = mpsc::channel(1);
    // It still waits for a connection when the test ends.
    thread::spawn(move || accept(&listener, &requests));
    thread::spawn(move || {
        let mut all = Vec::new();
        while let Some(request) = received.blocking_recv() {
            all.push(name(&request));
            match request {
                ControlRequest::TakeOver(reply) => reply.send(Ok(Inheritance::default())).unwrap(),
                ControlRequest::Release(_, reply) => reply.send(()).unwrap(),
                ControlRequest::Complete | ControlRequest::Abandon | ControlRequest::Drain(_) => {}
            }
            if all.last() == Some(&last) {
                break;
            }
        }
        all
    })
}

#[test]
fn a_predecessor_confirms_that_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "complete");
    let (new, _) = TakeOver::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    new.complete().unwrap();
    assert_eq!(old.join().unwrap(), ["take over", "release", "complete"]);
}

/// With no connection open, a server is gone the moment that its control loop has the request to end.
#[test]
fn the_confirmation_does_not_wait_for_the_predecessors_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "release");
    let (new, _) = TakeOver::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    assert_eq!(old.join().unwrap(), ["take over", "release"]);
    new.complete().unwrap();
}

#[test]
fn a_successor_that_dies_is_abandoned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "abandon");
    let (new, _) = TakeOver::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    drop(new);
    assert_eq!(old.join().unwrap(), ["take over", "release", "abandon"]);
}

/// A predecessor that restored everything must not find a successor that believes it serves.
#[test]
fn without_the_confirmation_the_successor_does_not_serve() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let listener = ControlListener::listen(&path).unwrap();
    let old = thread::spawn(move || {
        let wire = listener.accept().unwrap();
        assert_eq!(wire.receive().unwrap().unwrap().0, ControlMessage::TakeOver { version: VERSION });
        wire.send(&ControlMessage::Complete, &[]).unwrap();
        assert_eq!(wire.receive().unwrap().unwrap().0, ControlMessage::Done);
    });
    let (new, _) = TakeOver::begin(&path).unwrap().unwrap();
    let failure = new.complete().unwrap_err().to_string();
    assert!(failure.contains("before it confirmed the hand-over"), "{failure}");
    old.join().unwrap();
}

/// The time limit is for connections that nobody's serving depends on.
#[test]
fn a_predecessor_waits_for_its_successor_without_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let listener = ControlListener::listen(&path).unwrap();
    let _new = ControlConnection::connect(&path).unwrap().unwrap();
    let old = listener.accept().unwrap();
    assert!(old.limit().unwrap().is_some());
    old.wait_without_limit().unwrap();
    assert_eq!(old.limit().unwrap(), None);
}

/// Another server's socket at the same path is left in place.
#[test]
fn a_server_removes_only_its_own_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = ControlSocket::open(Some(&path)).unwrap();
    let new = ControlSocket::open(Some(&path)).unwrap();
    drop(old);
    assert!(path.exists(), "the new server's");
    drop(new);
    assert!(!path.exists());
}
