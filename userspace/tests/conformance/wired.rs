//! The table sent to the program, over every path that it serves by.

use crate::common::lab::{Lab, Link};
use crate::common::packets::{Datagram, Flow};
use crate::common::server::{Counters, Server};
use crate::common::wire::Wire;
use crate::table::{Row, Setting, rows};
use std::collections::BTreeMap;
use std::time::Duration;
use xstun::outcome::Outcome;

const LIMIT: Duration = Duration::from_secs(20);
/// Source port of the first row; each row has its own, by which its reply is known.
const FIRST_PORT: u16 = 20_000;
/// What the veth pair's MTU leaves for a UDP payload behind an IPv6 header.
const MOST_IN_ONE_FRAME: usize = 1500 - 40 - 8;

const NATIVE: [&str; 4] = ["--datapath", "af-xdp", "--xdp-mode", "native"];
const SOCKETS: [&str; 2] = ["--datapath", "socket"];

fn flags(setting: Setting) -> &'static [&'static str] {
    match setting {
        Setting::Default => &[],
        Setting::NoClassic => &["--no-classic"],
    }
}

/// One row over one version of IP.
struct Question<'a> {
    row: &'a Row,
    flow: Flow,
    /// Whether AF_XDP can take it: what is longer than a frame comes in fragments, which are the sockets'.
    whole: bool,
}

impl Question<'_> {
    fn owed(&self) -> Vec<u8> {
        self.row.reply(self.flow.source)
    }

    fn send(&self, wire: &Wire) {
        if self.whole {
            wire.send(&self.flow.frame(&self.row.request));
        } else {
            self.flow.fragments(&self.row.request, 1280).iter().for_each(|frame| wire.send(frame));
        }
    }

    /// The datagram in `frame`, if it goes to where this question came from.
    fn reply_in(&self, frame: &[u8]) -> Option<Datagram> {
        Datagram::read(frame).filter(|datagram| datagram.destination == self.flow.source)
    }

    fn check(&self, reply: &Datagram) {
        let name = self.row.name();
        assert!(self.flow.is_answered_by(reply), "{name}: {:?} is answered by {reply:?}", self.flow);
        assert!(reply.checksums_hold, "{name}: the reply's checksums: {reply:?}");
        assert_eq!(reply.payload, self.owed(), "{name}, over {}", self.flow.source);
    }
}

fn questions<'a>(link: &Link, rows: &'a [Row]) -> Vec<Question<'a>> {
    let ports = FIRST_PORT..;
    let asked = rows.iter().zip(ports).flat_map(|(row, port)| {
        let whole = row.request.len() <= MOST_IN_ONE_FRAME;
        [Flow::v4(link, port), Flow::v6(link, port)].map(|flow| Question { row, flow, whole })
    });
    asked.collect()
}

/// Sends every row of every setting and waits for each reply that is owed; checks after the server's end
/// that nothing else came back, and that each row is counted once, where it should be.
fn run(path: &str, path_flags: &[&str]) {
    for setting in Setting::ALL {
        let mut rows: Vec<Row> = rows().into_iter().filter(|row| row.setting == setting).collect();
        // The last is answered, so that all before it were seen when its reply is.
        rows.sort_by_key(|row| row.outcome == Outcome::Answered);
        let lab = Lab::new(1);
        let link = lab.link();
        let common = ["--interface", &link.server_interface];
        let server = Server::start(&lab.server, &[&common, path_flags, flags(setting)].concat());
        let wire = Wire::open(&lab.client, &link.client_interface);
        let questions = questions(link, &rows);
        for question in &questions {
            question.send(&wire);
            if !question.owed().is_empty() {
                let mut reply = None;
                wire.wait_for(LIMIT, |frame| {
                    let silent = questions.iter().filter(|other| other.owed().is_empty());
                    silent.for_each(|silent| stays_silent(silent, frame));
                    reply = question.reply_in(frame);
                    reply.is_some()
                });
                question.check(&reply.unwrap_or_else(|| panic!("{}: no answer", question.row.name())));
            }
        }
        let counters = server.stop();
        for frame in wire.drain() {
            questions.iter().for_each(|question| stays_silent(question, &frame));
        }
        check_counters(&counters, path, &questions);
    }
}

fn stays_silent(question: &Question, frame: &[u8]) {
    let reply = question.reply_in(frame);
    assert!(reply.is_none(), "{}: answered by {reply:?}", question.row.name());
}

fn check_counters(counters: &Counters, path: &str, questions: &[Question]) {
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for question in questions {
        let path = if question.whole { path } else { "sockets" };
        *expected.entry((path, question.row.outcome.name())).or_default() += 1;
    }
    for path in ["af-xdp", "sockets"] {
        for name in Outcome::ALL.map(Outcome::name) {
            let owed = expected.get(&(path, name)).copied().unwrap_or_default();
            assert_eq!(counters.get(path, name), owed, "{name} on {path}:\n{}", counters.log);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn af_xdp_keeps_every_rule() {
    run("af-xdp", &NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn sockets_keep_every_rule() {
    run("sockets", &SOCKETS);
}
