//! `xstun serve` and what it tells of itself.

use super::stage::{INTERFACE, Stage};
use crate::children::Guarded;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for the server to serve, and to end.
const LIMIT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

/// A running server, killed on drop.
pub(super) struct Server {
    child: Guarded,
    lines: Receiver<Value>,
    said: Vec<Value>,
}

impl Server {
    /// Starts it on the stage's interface, and waits until it serves.
    pub(super) fn start(stage: &Stage, program: &Path, interrupt: &Interrupt) -> Result<Self> {
        let mut command = stage.server.command(program);
        command.args(["serve", "--interface", INTERFACE, "--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        println!("\n{}", shown(&command));
        let mut child = command.spawn().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        let log = child.stderr.take().context("the server's standard error is no pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                let level = value["level"].as_str().unwrap_or("ERROR");
                if ["ERROR", "WARN"].contains(&level) {
                    eprintln!("server: {line}");
                }
                if value.is_object() && sender.send(value).is_err() {
                    break;
                }
            }
        });
        let mut server = Server { child: Guarded(child), lines, said: Vec::new() };
        server.wait_until_ready(interrupt)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.with_message("ready").next().is_none() {
            interrupt.check()?;
            match self.lines.recv_timeout(TICK) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                    bail!("the server did not say that it is ready within {} s", LIMIT.as_secs());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the server ended before it was ready, with {}", self.child.0.wait()?);
                }
            }
        }
        Ok(())
    }

    fn with_message(&self, message: &str) -> impl Iterator<Item = &Value> {
        self.said.iter().filter(move |line| field(line, "message") == message)
    }

    /// What serves what, as the server told it at start.
    pub(super) fn table(&self) -> String {
        const COLUMNS: [(&str, &str, usize); 7] = [
            ("interface", "interface", 10),
            ("path", "path", 8),
            ("xdp_mode", "XDP", 8),
            ("bind_mode", "bind", 10),
            ("queues", "queues", 7),
            ("cores", "cores", 7),
            ("listen", "listen", 0),
        ];
        let mut text: String = COLUMNS.iter().map(|(_, title, width)| format!("{title:<width$} ")).collect();
        for line in self.with_message("serving") {
            text.push('\n');
            for (key, _, width) in COLUMNS {
                let value = field(line, key);
                text.push_str(&format!("{:<width$} ", if value.is_empty() { "-" } else { &value }));
            }
            let stepped_down = field(line, "stepped_down");
            if !stepped_down.is_empty() {
                text.push_str(&format!("\n  stepped down from {stepped_down}"));
            }
        }
        text.push('\n');
        text
    }

    /// Ends the server as an operator does, and gives what it counted.
    ///
    /// # Errors
    /// It did not end in time, or not with success.
    pub(super) fn stop(mut self, interrupt: &Interrupt) -> Result<Counters> {
        let pid = Pid::from_child(&self.child.0);
        kill_process(pid, Signal::INT).context("cannot send SIGINT to the server")?;
        let status = self.child.wait(LIMIT, interrupt).context("the server, after SIGINT")?;
        if !status.success() {
            bail!("the server ended with {status} after SIGINT");
        }
        let rest: Vec<_> = self.lines.iter().collect();
        self.said.extend(rest);
        let mut counters = Counters::default();
        for line in self.with_message("counters") {
            counters.add(&field(line, "path"), &field(line, "counters"));
        }
        let serving = self.with_message("serving").filter(|line| field(line, "interface") == INTERFACE);
        counters.interface_paths = serving.map(|line| field(line, "path")).collect();
        Ok(counters)
    }
}

/// A field of a log line as text; empty where there is none.
fn field(line: &Value, key: &str) -> String {
    match &line[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the server counted, summed by path.
#[derive(Default)]
pub(super) struct Counters {
    paths: BTreeMap<String, BTreeMap<String, u64>>,
    /// The paths that served the stage's interface, as told at start.
    interface_paths: Vec<String>,
}

impl Counters {
    /// Adds counters like `answered=12 received=12`.
    fn add(&mut self, path: &str, counters: &str) {
        let path = self.paths.entry(path.to_owned()).or_default();
        for (name, count) in counters.split_whitespace().filter_map(|counter| counter.split_once('=')) {
            *path.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap_or_default();
        }
    }

    fn answered(&self, path: &str) -> u64 {
        let counted =
            |name| self.paths.get(path).and_then(|path| path.get(name)).copied().unwrap_or_default();
        counted("answered") + counted("answered_classic")
    }

    /// Why these counters do not show that AF_XDP answered.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.interface_paths != ["af-xdp"] {
            faults.push(format!("{INTERFACE} is served by {:?}, not by AF_XDP", self.interface_paths));
        }
        if self.answered("af-xdp") == 0 {
            faults.push("the counters show no answer over AF_XDP".to_owned());
        }
        if self.answered("sockets") > 0 {
            faults.push(format!("the sockets answered {} requests", self.answered("sockets")));
        }
        faults
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, counters)) in self.paths.iter().enumerate() {
            let counters: Vec<_> = counters.iter().map(|(name, count)| format!("{name}={count}")).collect();
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{path} {}",
                if counters.is_empty() { "nothing".into() } else { counters.join(" ") }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Counters;

    fn counters(lines: &[(&str, &str)], serving: &str) -> Counters {
        let mut counters = Counters { interface_paths: vec![serving.to_owned()], ..Counters::default() };
        for (path, text) in lines {
            counters.add(path, text);
        }
        counters
    }

    #[test]
    fn queues_are_summed_and_answers_over_af_xdp_are_no_fault() {
        let counters = counters(
            &[("af-xdp", "answered=12 received=13"), ("af-xdp", "answered_classic=2"), ("sockets", "")],
            "af-xdp",
        );
        assert_eq!(counters.answered("af-xdp"), 14);
        assert_eq!(counters.faults(), Vec::<String>::new());
        assert_eq!(
            counters.to_string(),
            "af-xdp answered=12 answered_classic=2 received=13; sockets nothing"
        );
    }

    #[test]
    fn answers_over_sockets_are_a_fault() {
        assert_eq!(counters(&[("sockets", "answered=3")], "sockets").faults().len(), 3);
        assert_eq!(counters(&[("af-xdp", "received=9")], "af-xdp").faults().len(), 1);
    }
}
