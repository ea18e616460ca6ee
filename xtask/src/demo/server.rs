//! `xstun serve` in the server's namespace, and what it logs.

use super::network::{DemoNetwork, INTERFACE};
use crate::children::ChildGuard;
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

/// Longest wait for the server to be ready, and to exit.
const LIMIT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

/// A running server. Drop kills it.
pub(super) struct DemoServer {
    child: ChildGuard,
    lines: Receiver<Value>,
    /// The lines of its log so far.
    log: Vec<Value>,
}

impl DemoServer {
    /// Starts it on the network's interface with these options, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or is not ready within 30 s.
    pub(super) fn start(
        network: &DemoNetwork,
        program: &Path,
        flags: &[&str],
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut command = network.server.command(program);
        command.args(["serve", "--interface", INTERFACE, "--log-format", "json"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        println!("\n{}", shown(&command));
        let mut child = command.spawn().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        let stderr = child.stderr.take().context("the server's standard error is no pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
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
        let mut server = DemoServer { child: ChildGuard(child), lines, log: Vec::new() };
        server.wait_until_ready(interrupt)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.with_message("ready").next().is_none() {
            interrupt.check()?;
            match self.lines.recv_timeout(TICK) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                    bail!("the server was not ready within {} s", LIMIT.as_secs());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the server exited before it was ready, with {}", self.child.0.wait()?);
                }
            }
        }
        Ok(())
    }

    fn with_message(&self, message: &str) -> impl Iterator<Item = &Value> {
        self.log.iter().filter(move |line| field(line, "message") == message)
    }

    /// A table of how each interface is served, as the server logged it at start.
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

    /// Stops the server as an operator does, and returns what it counted.
    ///
    /// # Errors
    /// It did not exit within 30 s, or with failure.
    pub(super) fn stop(mut self, interrupt: &Interrupt) -> Result<DemoCounters> {
        let pid = Pid::from_child(&self.child.0);
        kill_process(pid, Signal::INT).context("cannot send SIGINT to the server")?;
        let status = self.child.wait(LIMIT, interrupt).context("the server, after SIGINT")?;
        if !status.success() {
            bail!("the server exited with {status} after SIGINT");
        }
        let rest: Vec<_> = self.lines.iter().collect();
        self.log.extend(rest);
        let mut counters = DemoCounters::default();
        for line in self.with_message("counters") {
            counters.add(&field(line, "path"), &field(line, "counters"));
        }
        let serving = self.with_message("serving").filter(|line| field(line, "interface") == INTERFACE);
        counters.interface_paths = serving.map(|line| field(line, "path")).collect();
        Ok(counters)
    }
}

/// A field of a log line as text; empty if the line has none.
fn field(line: &Value, key: &str) -> String {
    match &line[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the server counted, summed by path.
#[derive(Default)]
pub(super) struct DemoCounters {
    paths: BTreeMap<String, BTreeMap<String, u64>>,
    /// The paths that served the network's interface, as logged at start.
    pub(super) interface_paths: Vec<String>,
}

impl DemoCounters {
    /// Adds counters like `answered=12 received=12`.
    pub(super) fn add(&mut self, path: &str, counters: &str) {
        let path = self.paths.entry(path.to_owned()).or_default();
        for (name, count) in counters.split_whitespace().filter_map(|counter| counter.split_once('=')) {
            *path.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap_or_default();
        }
    }

    /// Requests that a path answered.
    pub(super) fn answered(&self, path: &str) -> u64 {
        let counted =
            |name| self.paths.get(path).and_then(|path| path.get(name)).copied().unwrap_or_default();
        counted("answered") + counted("answered_classic")
    }
}

impl fmt::Display for DemoCounters {
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
    use super::DemoCounters;

    #[test]
    fn counters_of_a_path_are_summed() {
        let mut counters = DemoCounters::default();
        for (path, text) in
            [("af-xdp", "answered=12 received=13"), ("af-xdp", "answered_classic=2"), ("sockets", "")]
        {
            counters.add(path, text);
        }
        assert_eq!(counters.answered("af-xdp"), 14);
        assert_eq!(counters.answered("xdp"), 0);
        assert_eq!(
            counters.to_string(),
            "af-xdp answered=12 answered_classic=2 received=13; sockets nothing"
        );
    }
}
