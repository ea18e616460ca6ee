//! `xstun serve` as a process: its log, its exit and its counters.

use super::Namespace;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for a log line or the exit; generous, since nothing is timed.
const LIMIT: Duration = Duration::from_secs(60);

/// The program under test: what `XSTUN_BIN` names, else what Cargo built beside the running test.
pub fn xstun() -> OsString {
    std::env::var_os("XSTUN_BIN").unwrap_or_else(|| {
        // Cargo keeps a profile's tests in `deps` below its programs.
        let test = std::env::current_exe().expect("a test knows its own file");
        let profile = test.ancestors().nth(2).expect("a test is two directories deep at least");
        let program = profile.join("xstun");
        assert!(program.exists(), "there is no {}; name the program in XSTUN_BIN", program.display());
        program.into()
    })
}

/// A running server, killed on drop.
pub struct Server {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Server {
    /// Starts `xstun serve` with these flags in the namespace, and waits until it serves.
    pub fn start(namespace: &Namespace, flags: &[&str]) -> Self {
        Server::start_behind(namespace, &["env"], flags)
    }

    /// As [`Server::start`], behind a command that executes the server, such as `setpriv`.
    pub fn start_behind(namespace: &Namespace, prefix: &[&str], flags: &[&str]) -> Self {
        let mut command = namespace.command(prefix[0]);
        command.args(&prefix[1..]).arg(xstun()).args(["serve", "--log-format", "json"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("stderr is piped");
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.follow(stderr)
        });
        let server = Server { child, log };
        server.wait_for("ready", |line| line["message"] == "ready");
        server
    }

    /// The first line of the log that `wanted` says yes to, whether it is there or still to come.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_nth(what, 1, wanted)
    }

    /// The line of this number, from 1, of those that `wanted` says yes to.
    pub fn wait_for_nth(&self, what: &str, number: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        let mut lines = self.log.lines.lock().expect("the reader does not panic");
        loop {
            if let Some(line) = parsed(&lines.lines).filter(&wanted).nth(number - 1) {
                return line;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = if lines.ended {
                "the server ended"
            } else if left.is_zero() {
                "it did not come in time"
            } else {
                lines = self.log.changed.wait_timeout(lines, left).expect("the reader does not panic").0;
                continue;
            };
            let log = lines.lines.join("\n");
            drop(lines);
            panic!("waiting for {what}: {why}; its log:\n{log}");
        }
    }

    /// The `serving` lines: one for each interface, one for the sockets, and one each for TCP and TLS.
    pub fn serving(&self) -> Vec<Value> {
        let lines = self.log.lines.lock().expect("the reader does not panic");
        parsed(&lines.lines).filter(|line| line["message"] == "serving").collect()
    }

    /// The `serving` line of this interface.
    pub fn serving_on(&self, interface: &str) -> Value {
        let serving = self.serving();
        let line = serving.iter().find(|line| line["interface"] == interface);
        line.unwrap_or_else(|| panic!("nothing says that {interface} is served: {serving:#?}")).clone()
    }

    /// Stops the server as Ctrl-C does, and returns its counters.
    pub fn stop(self) -> Counters {
        self.stop_by(Signal::INT)
    }

    /// Stops the server by a signal on which it must exit with code 0, and returns its counters.
    pub fn stop_by(self, signal: Signal) -> Counters {
        kill_process(self.pid(), signal).expect("the server runs");
        self.ended()
    }

    /// Waits until the server exits by itself with code 0, and returns its counters.
    pub fn ended(mut self) -> Counters {
        let status = self.wait();
        let log = self.log();
        assert_eq!(status.code(), Some(0), "the server's exit code; its log:\n{log}");
        let counters = Counters { lines: parsed(log.lines()).filter_map(Counted::from_log).collect(), log };
        assert!(!counters.lines.is_empty(), "the server printed no counters:\n{}", counters.log);
        counters
    }

    /// Sends a signal that does not end it.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server runs");
    }

    /// Kills the server and waits until it is gone.
    pub fn kill(mut self) {
        kill_process(self.pid(), Signal::KILL).expect("the server runs");
        self.wait();
    }

    /// The server's process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How many files it has open.
    pub fn open_files(&self) -> u64 {
        let directory = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        std::fs::read_dir(directory).expect("the server runs").count() as u64
    }

    /// Waits for the end of the process and of its log.
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                let lines = self.log.lines.lock().expect("the reader does not panic");
                let ended = self.log.changed.wait_timeout_while(lines, LIMIT, |lines| !lines.ended);
                drop(ended.expect("the reader does not panic"));
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        self.log.lines.lock().expect("the reader does not panic").lines.join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

impl Log {
    fn follow(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.lines.lock().expect("no holder panics").lines.push(line);
            self.changed.notify_all();
        }
        self.lines.lock().expect("no holder panics").ended = true;
        self.changed.notify_all();
    }
}

fn parsed<'a>(
    lines: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
) -> impl Iterator<Item = Value> {
    lines.into_iter().filter_map(|line| serde_json::from_str(line.as_ref()).ok())
}

/// The counters that a server logged at its end.
pub struct Counters {
    lines: Vec<Counted>,
    /// The whole log, for messages.
    pub log: String,
}

struct Counted {
    path: String,
    queue: Option<u64>,
    counts: Vec<(String, u64)>,
}

impl Counted {
    fn from_log(line: Value) -> Option<Self> {
        if line["message"] != "counters" {
            return None;
        }
        let counts = line["counters"].as_str()?.split_whitespace().map(|pair| {
            let (name, count) = pair.split_once('=')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Some(Counted {
            path: line["path"].as_str()?.to_owned(),
            queue: line["queue"].as_u64(),
            counts: counts.collect::<Option<_>>()?,
        })
    }
}

impl Counters {
    /// The sum of one counter over the interfaces and queues of a path: `af-xdp`, `sockets`, `xdp`.
    pub fn get(&self, path: &str, name: &str) -> u64 {
        self.sum(name, |line| line.path == path)
    }

    /// One counter of one receive queue's worker.
    pub fn queue(&self, queue: u64, name: &str) -> u64 {
        self.sum(name, |line| line.path == "af-xdp" && line.queue == Some(queue))
    }

    /// Replies that left by a path.
    pub fn replies(&self, path: &str) -> u64 {
        ["answered", "answered_classic", "unknown_attribute"].iter().map(|name| self.get(path, name)).sum()
    }

    fn sum(&self, name: &str, wanted: impl Fn(&Counted) -> bool) -> u64 {
        let lines = self.lines.iter().filter(|line| wanted(line));
        lines.flat_map(|line| &line.counts).filter(|(n, _)| n == name).map(|(_, count)| count).sum()
    }
}
