use super::wire::{Message, Post, VERSION, Wire};
use super::{Door, Inheritance, Order, Successor, attend};
use std::path::Path;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc;

/// What the control loop would be given.
fn told(order: &Order) -> &'static str {
    match order {
        Order::Bequeath(_) => "bequeath",
        Order::Release(..) => "release",
        Order::Done => "done",
        Order::GivenUp => "given up",
        Order::Drain(_) => "drain",
    }
}

/// A server without anything that serves: it obeys up to the order of this name, and gives all of them.
fn server(path: &Path, last: &'static str) -> JoinHandle<Vec<&'static str>> {
    let post = Post::listen(path).unwrap();
    let (orders, mut received) = mpsc::channel(1);
    // It waits for the next who connects when the test has ended.
    thread::spawn(move || attend(&post, &orders));
    thread::spawn(move || {
        let mut all = Vec::new();
        while let Some(order) = received.blocking_recv() {
            all.push(told(&order));
            match order {
                Order::Bequeath(reply) => reply.send(Ok(Inheritance::default())).unwrap(),
                Order::Release(_, reply) => reply.send(()).unwrap(),
                Order::Done | Order::GivenUp | Order::Drain(_) => {}
            }
            if all.last() == Some(&last) {
                break;
            }
        }
        all
    })
}

#[test]
fn one_server_ends_for_the_other_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "done");
    let (new, _) = Successor::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    new.done().unwrap();
    assert_eq!(old.join().unwrap(), ["bequeath", "release", "done"]);
}

/// With no connection open, a server is gone the moment that its control loop has the order to end.
#[test]
fn the_old_servers_word_does_not_wait_for_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "release");
    let (new, _) = Successor::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    assert_eq!(old.join().unwrap(), ["bequeath", "release"]);
    new.done().unwrap();
}

#[test]
fn a_successor_that_dies_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = server(&path, "given up");
    let (new, _) = Successor::begin(&path).unwrap().unwrap();
    new.release(7).unwrap();
    drop(new);
    assert_eq!(old.join().unwrap(), ["bequeath", "release", "given up"]);
}

/// A server that took everything back must not find another one that thinks it serves.
#[test]
fn without_the_old_servers_word_the_new_one_does_not_serve() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let post = Post::listen(&path).unwrap();
    let old = thread::spawn(move || {
        let wire = post.accept().unwrap();
        assert_eq!(wire.receive().unwrap().unwrap().0, Message::TakeOver { version: VERSION });
        wire.send(&Message::Complete, &[]).unwrap();
        assert_eq!(wire.receive().unwrap().unwrap().0, Message::Done);
    });
    let (new, _) = Successor::begin(&path).unwrap().unwrap();
    let failure = new.done().unwrap_err().to_string();
    assert!(failure.contains("before it was told to end"), "{failure}");
    old.join().unwrap();
}

/// The limit on silence is for talks that nobody's serving depends on.
#[test]
fn a_server_that_is_taken_over_waits_as_long_as_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let post = Post::listen(&path).unwrap();
    let _new = Wire::connect(&path).unwrap().unwrap();
    let old = post.accept().unwrap();
    assert!(old.silence().unwrap().is_some());
    old.be_patient().unwrap();
    assert_eq!(old.silence().unwrap(), None);
}

/// Another server's socket at the same path is that one's to remove.
#[test]
fn only_its_own_socket_goes_with_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let old = Door::open(Some(&path)).unwrap();
    let new = Door::open(Some(&path)).unwrap();
    drop(old);
    assert!(path.exists(), "the new server's");
    drop(new);
    assert!(!path.exists());
}
