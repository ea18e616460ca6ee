//! The checks for every rung.

use crate::answers;
use crate::ask::Scene;
use crate::case::Kind;
use crate::stage::Stage;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::{Server, xstun};

const LIMIT: Duration = Duration::from_secs(60);
/// The shapes that the XDP program may answer.
pub(crate) const PLAIN_SHAPES: &str = "bare=3,fingerprint,software-fingerprint=2,classic";
const EVERY_SHAPE: &str = "bare=3,fingerprint,software-fingerprint=2,software,change-request,classic,\
                           classic-change-request,ice";
/// Bytes that TCP carries each way.
const STREAM: u32 = 400_000;
/// Bytes of data in a large ping, as ping(8) takes them: nearly fills a frame.
const LARGE: &str = "1400";

/// Runs the checks on a server that has just started, and stops it.
pub(crate) fn while_serving(scene: &Scene<'_>, server: Server, rung: &Value) {
    let Scene { stage, case, .. } = scene;
    scene.check("answers", || {
        answers(stage);
        ((), "the right address, over IPv4 and IPv6".to_owned())
    });
    if rung["bind_mode"] == "zero-copy" {
        scene.check("the kernel reports zero-copy", || ((), diagnosed(stage)));
    }
    scene.check("load", || ((), load(stage, "400")));
    if case.kind != Kind::Loopback {
        scene.check("neighbours under load", || {
            let flood = Flood::start(stage, "300");
            neighbours(stage);
            flood.end();
            ((), format!("ping, and {STREAM} bytes of TCP there and back, over IPv4 and IPv6"))
        });
    }
    scene.check("counted, and nothing left behind", || {
        let counters = server.stop();
        let path = rung["path"].as_str().unwrap();
        let other = if path == "af-xdp" { "sockets" } else { "af-xdp" };
        let answered = counters.replies(path);
        assert!(answered > 0, "{}", counters.log);
        assert_eq!(counters.replies(other), 0, "{}", counters.log);
        // The program leaves a request whose checksum the sender's NIC was to finish to the workers.
        let unfinished = counters.get("af-xdp", "unfinished_checksums") > 0;
        let by_program = counters.get("xdp", "answered");
        assert_eq!(by_program > 0, answers::are_on(rung) && !unfinished, "{}", counters.log);
        assert_eq!(counters.get("af-xdp", "rx_invalid"), 0, "{}", counters.log);
        assert_eq!(counters.get("af-xdp", "tx_invalid"), 0, "{}", counters.log);
        assert!(!stage.server.has_xdp(stage.interface()), "the XDP program is still attached");
        let wakeups = counters.get(path, "wakeups");
        let batches = counters.get(path, "batches");
        let answered = format!("{answered} replies by {path} in {batches} batches with {wakeups} wake-ups");
        (
            (),
            if by_program > 0 {
                format!("{by_program} replies by the program, {answered}")
            } else {
                answered
            },
        )
    });
}

/// Lets the server's kernel and the client's exchange frames, so that each knows the other to be reachable.
pub(crate) fn meet_neighbour(stage: &Stage) {
    let client = stage.link.client_v4.to_string();
    stage.server.run(&["ping", "-n", "-c", "1", "-w", "30", &client]);
}

/// Checks that frames of full size are still lost, and that the NIC passes them again once the server is gone.
/// If the first fails, the driver has been mended.
pub(crate) fn known_fault(scene: &Scene<'_>, server: Server) {
    let stage = scene.stage;
    let (_, address) = stage.endpoints()[0];
    let host = address.ip().to_string();
    let pings =
        || stage.client().output(&["ping", "-n", "-c", "3", "-s", LARGE, "-w", "10", &host]).status.success();
    let hears = stage.client().output(&["ping", "-n", "-c", "3", "-w", "10", &host]).status.success();
    scene.check("frames of full size are lost, as is known", || {
        assert!(!pings(), "they pass: the driver no longer has its known fault");
        ((), format!("no answer to pings with {LARGE} bytes"))
    });
    if !hears {
        scene.check("a driver that hands over nothing is left for copy mode", || {
            let left = server.wait_for("the step down", |line| {
                line["message"].as_str().is_some_and(|text| text.starts_with("copy mode takes over"))
            });
            assert!(pings(), "no answer to pings with {LARGE} bytes: {left}");
            answers(stage);
            ((), left["message"].to_string())
        });
    }
    scene.check("the NIC passes them without the server", || {
        server.stop();
        assert!(pings(), "no answer to pings with {LARGE} bytes");
        ((), format!("pings with {LARGE} bytes are answered"))
    });
}

/// Sends five requests over each version of IP, and checks the mapped addresses.
pub(crate) fn answers(stage: &Stage) {
    for (client, server) in stage.endpoints() {
        let asker = Asker::new(stage.client(), client);
        for _ in 0..5 {
            assert_eq!(asker.ask(server), asker.address());
        }
    }
}

/// Asserts that the kernel's socket diagnosis shows a zero-copy AF_XDP socket.
fn diagnosed(stage: &Stage) -> String {
    let sockets = stage.server.run(&["ss", "--xdp", "--all", "--extended"]);
    assert!(sockets.contains("zc:1"), "no AF_XDP socket is in zero-copy mode: {sockets}");
    "zc:1".to_owned()
}

/// Sends requests of every shape; see [`load_of`].
pub(crate) fn load(stage: &Stage, rate: &str) -> String {
    load_of(stage, rate, EVERY_SHAPE)
}

/// Sends requests of these shapes at a rate; every reply must be right, and at most 5 % may be lost.
pub(crate) fn load_of(stage: &Stage, rate: &str, shapes: &str) -> String {
    let program = xstun().into_string().unwrap();
    let mut sent = 0;
    for (_, server) in stage.endpoints() {
        let server = server.to_string();
        let words = [
            program.as_str(),
            "load",
            &server,
            "--json",
            "--duration",
            "1",
            "--rate",
            rate,
            "--shape",
            shapes,
        ];
        let output = stage.client().output(&words);
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{out}{err}");
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["wrong"], 0, "{json}");
        let number = |key: &str| json[key].as_u64().unwrap();
        assert!(number("lost") * 20 <= number("sent"), "more than a twentieth is lost: {json}");
        sent += number("sent");
    }
    let shapes = shapes.split(',').count();
    format!("{sent} requests of {shapes} shapes, every reply right")
}

/// Requests at a rate, over IPv4; stopped on drop.
pub(crate) struct Flood(Child);

impl Flood {
    pub(crate) fn start(stage: &Stage, rate: &str) -> Self {
        let (_, server) = stage.endpoints()[0];
        let mut load = stage.client().command(xstun());
        load.args(["load", &server.to_string(), "--duration", "600", "--rate", rate, "--ports", "64"]);
        Flood(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Asserts that it still runs, and stops it.
    pub(crate) fn end(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the load exited by itself");
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asserts that other traffic passes: ping, and a TCP connection that echoes its bytes unchanged.
pub(crate) fn neighbours(stage: &Stage) {
    for (_, server) in stage.endpoints() {
        let host = server.ip().to_string();
        stage.client().run(&["ping", "-n", "-c", "3", "-i", "0.2", "-w", "30", &host]);
        let listener = stage.server.enter(|| TcpListener::bind(SocketAddr::new(server.ip(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let sent: Vec<u8> = (0..STREAM).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let back = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut received = vec![0; sent.len()];
                stream.read_exact(&mut received).unwrap();
                stream.write_all(&received).unwrap();
            });
            let mut stream = stage.client().enter(|| TcpStream::connect_timeout(&address, LIMIT)).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.write_all(&sent).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            back
        });
        assert!(back == sent, "{} of {STREAM} bytes came back over TCP", back.len());
    }
}
