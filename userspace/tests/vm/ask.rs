//! One case: serves in each mode, reports the rung, and runs the checks.

use crate::answers;
use crate::case::{Ask, Case};
use crate::checks;
use crate::life;
use crate::report::Report;
use crate::stage::Stage;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use xstun_testkit::lab::server::{Server, xstun};

/// The context of a check.
pub(crate) struct Scene<'a> {
    pub(crate) case: &'a Case,
    pub(crate) stage: &'a Stage,
    pub(crate) ask: &'a Ask,
    report: &'a Report,
}

impl Scene<'_> {
    /// Runs a check; see [`Report::check`].
    pub(crate) fn check<T>(&self, name: &str, check: impl FnOnce() -> (T, String)) -> Option<T> {
        self.report.check(&self.case.name, &self.ask.name, name, check)
    }

    /// Starts the server in the scene's mode, and waits until it serves.
    pub(crate) fn serve(&self, more: &[&str]) -> Server {
        Server::start(&self.stage.server, &self.flags(more))
    }

    /// As [`Scene::serve`], with the binary that asserts the conservation of frames.
    pub(crate) fn serve_asserting(&self, more: &[&str]) -> Server {
        // The arguments of the script are the release binary, which is replaced, and its arguments.
        let replacement = ["sh", "-c", "shift; exec /bin/xstun-asserting \"$@\"", "sh"];
        Server::start_behind(&self.stage.server, &replacement, &self.flags(more))
    }

    fn flags<'b>(&'b self, more: &[&'b str]) -> Vec<&'b str> {
        let mode = self.ask.flags.iter().map(String::as_str);
        ["--interface", self.stage.interface()].into_iter().chain(mode).chain(more.iter().copied()).collect()
    }

    /// The rung that the server logs.
    pub(crate) fn rung(&self, server: &Server) -> Value {
        server.serving_on(self.stage.interface())
    }
}

/// Runs the case in each of its modes.
pub(crate) fn all(case: &Case, report: &Report) {
    let first = case.asks.first().map_or("", |ask| &ask.name);
    let stage = report.check(&case.name, first, "stage", || {
        let stage = Stage::new(case);
        let driver = format!("on {}", stage.driver);
        (stage, driver)
    });
    let Some(stage) = stage else { return };
    for ask in &case.asks {
        one(&Scene { case, stage: &stage, ask, report });
    }
}

fn one(scene: &Scene<'_>) {
    let Scene { case, stage, ask, report } = scene;
    let record = |key: &str, value: Value| {
        report.write(&json!({ "case": case.name, "asked": ask.name, "driver": stage.driver, key: value }));
    };
    // Only a pinned mode may be refused.
    if !ask.flags.is_empty()
        && let Some(refusal) = refusal(scene, &[])
    {
        record("refused", refusal.clone().into());
        scene.check("the refusal says what to do", || {
            assert!(refusal.contains("cannot") && refusal.contains('('), "{refusal}");
            ((), refusal.clone())
        });
        return;
    }
    if ask.faulty {
        // The server asks neighbours for a frame that have just answered the kernel.
        checks::meet_neighbour(stage);
    }
    let server = scene.check("serves", || (scene.serve(&[]), String::new()));
    let Some(server) = server else { return };
    let rung = scene.rung(&server);
    if ask.faulty {
        report.write(&json!({
            "case": case.name, "asked": ask.name, "driver": stage.driver, "rung": rung, "faulty": true,
        }));
        checks::known_fault(scene, server);
        return;
    }
    record("rung", rung.clone());
    checks::while_serving(scene, server, &rung);
    if answers::are_on(&rung) {
        answers::all(scene);
    }
    if case.thorough && ask.flags.is_empty() {
        life::all(scene, &rung);
    }
}

/// The last log line of a server that refuses to serve in the scene's mode with these additional flags; `None`
/// if it serves.
pub(crate) fn refusal(scene: &Scene<'_>, more: &[&str]) -> Option<String> {
    let mut command = scene.stage.server.command(xstun());
    command.arg("serve").args(scene.flags(more)).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut last = String::new();
    let mut log = BufReader::new(child.stderr.take().expect("standard error is piped")).lines();
    for line in log.by_ref() {
        last = line.unwrap();
        if last.ends_with(" ready") {
            // SIGINT: a killed server cannot restore the NIC's settings.
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
            child.wait().unwrap();
            return None;
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "{last}");
    Some(last)
}
