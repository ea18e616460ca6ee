//! What must hold on every rung.

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
const EVERY_SHAPE: &str = "bare=3,fingerprint,software-fingerprint=2,software,change-request,classic,\
                           classic-change-request,ice";
/// Bytes that TCP carries each way.
const STREAM: u32 = 400_000;

/// The checks on a server that has just begun to serve; ends it.
pub(crate) fn while_serving(scene: &Scene<'_>, server: Server, rung: &Value) {
    let Scene { stage, case, .. } = scene;
    scene.check("answers", || {
        answers(stage);
        ((), "the true address, over IPv4 and IPv6".to_owned())
    });
    if rung["bind_mode"] == "zero-copy" {
        scene.check("the kernel's own word for zero-copy", || ((), diagnosed(stage)));
    }
    scene.check("load", || ((), load(stage, "400")));
    if case.kind != Kind::Loopback {
        scene.check("neighbours under load", || {
            let flood = Flood::start(stage, "300");
            neighbours(stage);
            flood.goes_on();
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
        assert_eq!(counters.get("af-xdp", "rx_invalid"), 0, "{}", counters.log);
        assert_eq!(counters.get("af-xdp", "tx_invalid"), 0, "{}", counters.log);
        assert!(!stage.server.has_xdp(stage.interface()), "the XDP program is still attached");
        let wakeups = counters.get(path, "wakeups");
        let batches = counters.get(path, "batches");
        ((), format!("{answered} replies by {path} in {batches} batches with {wakeups} wake-ups"))
    });
}

/// Asks a few times over either version of IP.
pub(crate) fn answers(stage: &Stage) {
    for (client, server) in stage.ways() {
        let asker = Asker::new(stage.client(), client);
        for _ in 0..5 {
            assert_eq!(asker.ask(server), asker.address());
        }
    }
}

/// What the kernel's socket diagnosis says of the server's sockets; it has to know zero-copy sockets.
fn diagnosed(stage: &Stage) -> String {
    let told = stage.server.run(&["ss", "--xdp", "--all", "--extended"]);
    assert!(told.contains("zc:1"), "no AF_XDP socket is in zero-copy mode: {told}");
    "zc:1".to_owned()
}

/// Sends requests of every shape at a rate; every reply has to be right, and nearly all have to come.
pub(crate) fn load(stage: &Stage, rate: &str) -> String {
    let program = xstun().into_string().unwrap();
    let mut sent = 0;
    for (_, server) in stage.ways() {
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
            EVERY_SHAPE,
        ];
        let output = stage.client().output(&words);
        let told = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}{err}");
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["wrong"], 0, "{told}");
        let number = |key: &str| told[key].as_u64().unwrap();
        assert!(number("lost") * 20 <= number("sent"), "more than a twentieth is lost: {told}");
        sent += number("sent");
    }
    format!("{sent} requests of all shapes, every reply right")
}

/// Requests at a rate, over IPv4, for as long as this lives.
pub(crate) struct Flood(Child);

impl Flood {
    pub(crate) fn start(stage: &Stage, rate: &str) -> Self {
        let (_, server) = stage.ways()[0];
        let mut load = stage.client().command(xstun());
        load.args(["load", &server.to_string(), "--duration", "600", "--rate", rate, "--ports", "64"]);
        Flood(load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// It has not ended by itself.
    pub(crate) fn goes_on(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the load ended by itself");
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is not ours passes: ping, and a TCP connection whose bytes come back as they were sent.
pub(crate) fn neighbours(stage: &Stage) {
    for (_, server) in stage.ways() {
        let host = server.ip().to_string();
        stage.client().run(&["ping", "-n", "-c", "3", "-i", "0.2", "-w", "30", &host]);
        let listener = stage.server.enter(|| TcpListener::bind(SocketAddr::new(server.ip(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let there: Vec<u8> = (0..STREAM).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let back = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut received = vec![0; there.len()];
                stream.read_exact(&mut received).unwrap();
                stream.write_all(&received).unwrap();
            });
            let mut stream = stage.client().enter(|| TcpStream::connect_timeout(&address, LIMIT)).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.write_all(&there).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            back
        });
        assert!(back == there, "{} of {STREAM} bytes came back over TCP", back.len());
    }
}
