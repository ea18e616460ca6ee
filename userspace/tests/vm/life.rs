//! Checks of a server's life cycle: sleep, starvation, restarts, link down and up, a change of the number of
//! queues.

use crate::answers;
use crate::ask::{Scene, refusal};
use crate::checks::{Flood, answers, load, neighbours};
use crate::stage::Stage;
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};
use xstun::datapath::af_xdp::{FRAMES, RING_SIZE};
use xstun_testkit::lab::ask::Asker;
use xstun_testkit::lab::server::Counters;

const LIMIT: Duration = Duration::from_secs(60);
/// Requests per second that overflow a stopped worker's rings within seconds.
const DELUGE: &str = "4000";
/// Frames sent beyond the size of a ring, so that it is certainly full.
const SPARE: u64 = 64;

/// Flags of a server whose workers answer every request.
const WORKERS: &[&str] = &["--kernel-answers", "off"];

/// Runs all of them; `rung` is the one that the server reached before. Where the XDP program answers, those that do
/// not depend on the workers run with both.
pub(crate) fn all(scene: &Scene<'_>, rung: &Value) {
    let on_xdp = rung["path"] == "af-xdp";
    scene.check("wakes from sleep", || ((), sleep(scene)));
    scene.check("restarts at once", || ((), restart(scene, rung, WORKERS)));
    scene.check("is killed and starts again", || ((), kill(scene, rung, WORKERS)));
    scene.check("link down and up", || ((), link(scene, WORKERS)));
    if answers::are_on(rung) {
        scene.check("restarts at once, with kernel answers", || ((), restart(scene, rung, &[])));
        scene.check("is killed and starts again, with kernel answers", || ((), kill(scene, rung, &[])));
        scene.check("link down and up, with kernel answers", || ((), link(scene, &[])));
    }
    if on_xdp {
        scene.check("frames are conserved", || ((), conserve(scene)));
        scene.check("stops under load", || ((), stop(scene)));
        scene.check("busy polling", || ((), busy_poll(scene, rung)));
    }
    if scene.case.queues > 1 {
        scene.check("queues change under load", || ((), queues(scene)));
    }
}

/// A worker that sleeps in poll(2) is woken by a frame, and its reply by the transmit ring's wake-up.
fn sleep(scene: &Scene<'_>) -> String {
    let server = scene.serve(WORKERS);
    answers(scene.stage);
    let (client, address) = scene.stage.endpoints()[0];
    let asker = Asker::new(scene.stage.client(), client);
    for _ in 0..3 {
        // Longer than the worker spins.
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(asker.ask_once(address, LIMIT), Some(asker.address()));
    }
    server.stop();
    "three times, and answered the first request".to_owned()
}

/// The kernel releases the queue some time after the last socket is closed.
fn restart(scene: &Scene<'_>, rung: &Value, flags: &[&str]) -> String {
    for _ in 0..4 {
        let server = scene.serve(flags);
        assert_same(&scene.rung(&server), rung);
        server.stop();
    }
    let server = scene.serve(flags);
    answers(scene.stage);
    server.stop();
    "five times, on the same rung".to_owned()
}

fn assert_same(now: &Value, before: &Value) {
    for key in ["path", "xdp_mode", "bind_mode", "queues"] {
        assert_eq!(now[key], before[key], "{key}: {now}");
    }
}

fn kill(scene: &Scene<'_>, rung: &Value, flags: &[&str]) -> String {
    let Stage { server: namespace, .. } = scene.stage;
    let flood = Flood::start(scene.stage, "300");
    for _ in 0..2 {
        let server = scene.serve(flags);
        answers(scene.stage);
        server.kill();
        let deadline = Instant::now() + LIMIT;
        while namespace.has_xdp(scene.stage.interface()) {
            assert!(Instant::now() < deadline, "the program outlives its server");
        }
    }
    let server = scene.serve(flags);
    assert_same(&scene.rung(&server), rung);
    answers(scene.stage);
    flood.end();
    server.stop();
    "twice under load, no program left, the same rung again".to_owned()
}

fn link(scene: &Scene<'_>, flags: &[&str]) -> String {
    let server = scene.serve(flags);
    answers(scene.stage);
    let flood = Flood::start(scene.stage, "300");
    for _ in 0..2 {
        for state in ["down", "up"] {
            let namespace = scene.stage.server.name();
            xstun_testkit::lab::ip(&["-n", namespace, "link", "set", scene.stage.interface(), state]);
            std::thread::sleep(Duration::from_millis(300));
        }
        scene.stage.raise();
        answers(scene.stage);
    }
    flood.end();
    load(scene.stage, "300");
    let counters = server.stop();
    assert_no_invalid_descriptors(&counters);
    "twice under load, and served again".to_owned()
}

/// The server is stopped while more frames arrive than its rings can hold, so that the NIC runs out of frames
/// and requests a wake-up of the fill ring; then it continues. Frames are counted, not seconds, since the time
/// depends on the machine. The server asserts in every batch that each UMEM frame is in exactly one place.
fn conserve(scene: &Scene<'_>) -> String {
    let server = scene.serve_asserting(WORKERS);
    answers(scene.stage);
    for _ in 0..2 {
        server.signal(Signal::STOP);
        let flood = Flood::start(scene.stage, DELUGE);
        let until = Instant::now() + LIMIT;
        let enough = scene.stage.sent() + u64::from(RING_SIZE) + SPARE;
        while scene.stage.sent() < enough && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
        }
        server.signal(Signal::CONT);
        flood.end();
        answers(scene.stage);
    }
    load(scene.stage, "300");
    let counters = server.stop();
    assert_no_invalid_descriptors(&counters);
    let received = counters.get("af-xdp", "received");
    assert!(received > u64::from(FRAMES), "no more frames than the UMEM has: {}", counters.log);
    let kernel =
        ["rx_dropped", "rx_ring_full", "rx_fill_ring_empty"].map(|name| counters.get("af-xdp", name));
    format!("{received} received, starved twice; dropped, ring full, fill ring empty: {kernel:?}")
}

/// Asserts that the kernel rejected no descriptor.
fn assert_no_invalid_descriptors(counters: &Counters) {
    for name in ["rx_invalid", "tx_invalid"] {
        assert_eq!(counters.get("af-xdp", name), 0, "{}", counters.log);
    }
}

/// Stops the server while frames are in flight.
fn stop(scene: &Scene<'_>) -> String {
    let flood = Flood::start(scene.stage, DELUGE);
    for _ in 0..3 {
        let server = scene.serve(WORKERS);
        answers(scene.stage);
        assert_no_invalid_descriptors(&server.stop());
        assert!(!scene.stage.server.has_xdp(scene.stage.interface()), "the XDP program is still attached");
    }
    flood.end();
    neighbours(scene.stage);
    "three times; the NIC serves the kernel's stack after it".to_owned()
}

fn busy_poll(scene: &Scene<'_>, rung: &Value) -> String {
    let setting = |name: &str| {
        let path = format!("/sys/class/net/{}/{name}", scene.stage.interface());
        scene.stage.server.run(&["cat", &path]).trim().to_owned()
    };
    let before = ["napi_defer_hard_irqs", "gro_flush_timeout"].map(setting);
    // If the driver does not expose its NAPI instances, the server must refuse and say so.
    if let Some(why) = refusal(scene, &["--busy-poll"]) {
        assert!(why.contains("leave --busy-poll out"), "{why}");
        assert_eq!(
            ["napi_defer_hard_irqs", "gro_flush_timeout"].map(setting),
            before,
            "the settings are restored"
        );
        answers_afterwards(scene);
        return why;
    }
    let server = scene.serve(&["--busy-poll", WORKERS[0], WORKERS[1]]);
    let polled = scene.rung(&server);
    // virtio_net's zero-copy cannot be busy-polled: the server takes copy mode, and logs the reason.
    if rung["bind_mode"] == "zero-copy" && scene.stage.driver == "virtio_net" {
        assert_eq!(
            (&polled["xdp_mode"], &polled["bind_mode"]),
            (&"native".into(), &"copy".into()),
            "{polled}"
        );
        assert!(polled["stepped_down"].as_str().unwrap().contains("no reply would leave"), "{polled}");
    } else {
        assert_same(&polled, rung);
    }
    assert_ne!(setting("gro_flush_timeout"), before[1], "busy polling has settings of its own");
    answers(scene.stage);
    let summary = load(scene.stage, "300");
    neighbours(scene.stage);
    let counters = server.stop();
    assert_no_invalid_descriptors(&counters);
    assert!(counters.replies("af-xdp") > 0, "{}", counters.log);
    assert_eq!(
        ["napi_defer_hard_irqs", "gro_flush_timeout"].map(setting),
        before,
        "the settings are restored"
    );
    if polled["bind_mode"] != rung["bind_mode"] {
        let why =
            refusal(scene, &["--bind-mode", "zero-copy", "--busy-poll"]).expect("the two exclude each other");
        assert!(why.contains("zero-copy is not available") && why.contains("leave one of them out"), "{why}");
    }
    summary
}

/// Asserts that the server runs without the refused flag.
fn answers_afterwards(scene: &Scene<'_>) {
    let server = scene.serve(WORKERS);
    answers(scene.stage);
    server.stop();
}

/// A driver may refuse to change its queues while an XDP program is attached; the server continues in both
/// cases.
fn queues(scene: &Scene<'_>) -> String {
    let server = scene.serve(WORKERS);
    let flood = Flood::start(scene.stage, "300");
    answers(scene.stage);
    let mut results = Vec::new();
    for count in ["1", "2"] {
        let words = ["ethtool", "-L", scene.stage.interface(), "combined", count];
        let output = scene.stage.server.output(&words);
        let error = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        results.push(if output.status.success() {
            format!("to {count}: done")
        } else {
            format!("to {count}: {error}")
        });
        answers(scene.stage);
    }
    flood.end();
    load(scene.stage, "300");
    let counters = server.stop();
    assert_no_invalid_descriptors(&counters);
    for queue in 0..u64::from(scene.case.queues) {
        assert!(counters.queue(queue, "received") > 0, "queue {queue} got nothing: {}", counters.log);
    }
    // Without an XDP program the driver does not refuse.
    scene.stage.server.run(&["ethtool", "-L", scene.stage.interface(), "combined", "1"]);
    let server = scene.serve(WORKERS);
    answers(scene.stage);
    assert_eq!(scene.rung(&server)["queues"], 1, "one queue is one worker");
    server.stop();
    scene.stage.server.run(&["ethtool", "-L", scene.stage.interface(), "combined", "2"]);
    results.join("; ")
}
