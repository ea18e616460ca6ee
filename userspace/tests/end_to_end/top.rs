//! `xstun top`, on a terminal and for scripts.

use crate::metrics::{FLAGS, ask};
use crate::modes::{NATIVE, SOCKETS};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xstun_testkit::lab::server::xstun;
use xstun_testkit::lab::{Lab, Namespace};
use xstun_testkit::wait::LIMIT;

/// What puts a terminal into its second screen, and what brings it back.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";
const CURSOR_SHOWN: &str = "\x1b[?25h";

/// `xstun top` on a terminal of its own. Before it a line tells its number, and after it its exit code
/// and the terminal's settings.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(namespace: &Namespace) -> Self {
        Terminal::open_behind(namespace, "")
    }

    /// `script` makes the terminal; every distribution has it. `first` is for its shell.
    fn open_behind(namespace: &Namespace, first: &str) -> Self {
        let program = xstun();
        let program = program.to_str().expect("a path in UTF-8");
        let script = format!(
            "{first}stty rows 30 cols 120; sh -c 'echo pid=$$.; exec \"$0\" top' {program}; echo code=$?.; stty -a; \
             echo the end"
        );
        let mut command = namespace.command("script");
        command.args(["--quiet", "--flush", "--command", &script, "/dev/null"]).env("TERM", "xterm-256color");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut output, seen) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Terminal { keys: child.stdin.take().unwrap(), child, shown }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until `wanted` has been shown.
    fn wait_for(&self, wanted: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let shown = self.shown();
            if shown.contains(wanted) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{wanted:?} is not shown: {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// The number of the process.
    fn pid(&self) -> Pid {
        let shown = self.wait_for("pid=");
        let number = shown.split("pid=").nth(1).and_then(|rest| rest.split('.').next());
        Pid::from_raw(number.and_then(|number| number.parse().ok()).expect("a number")).expect("not zero")
    }

    /// Waits for the end, which has to leave the terminal as it was; gives all that was shown.
    fn ended(&self, code: i32) -> String {
        let shown = self.wait_for("the end");
        assert!(shown.contains(&format!("code={code}.")), "{shown:?}");
        let settings = shown.rsplit("code=").next().unwrap();
        for on in ["icanon", "echo", "isig", "opost"] {
            assert!(
                settings.split([' ', ';', '\r', '\n']).any(|word| word == on),
                "{on} is off: {settings:?}"
            );
        }
        shown
    }

    /// As [`Terminal::ended`], after it was taken.
    fn given_back(&self) {
        let shown = self.ended(0);
        let (_, after) = shown.rsplit_once(TAKEN).unwrap_or_else(|| panic!("never taken: {shown:?}"));
        assert!(after.contains(GIVEN_BACK) && after.contains(CURSOR_SHOWN), "{after:?}");
        assert!(!shown.contains("panicked"), "{shown:?}");
    }
}

/// Whether the process still runs. One that has ended stays listed until its parent asks for its end, and
/// the parent that inherits it may take its time.
fn runs(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else {
        return false;
    };
    // The state comes after the name, which may have anything in it.
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_script_gets_what_was_counted() {
    let lab = Lab::new(2);
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 20);
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let told = lab.server.run(&[program, "top", "--once", "--json", "--interval", "0.2"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let workers = told["status"]["workers"].as_array().unwrap();
    let sum = |path: &str| -> u64 {
        let of_path = workers.iter().filter(|worker| worker["path"] == path);
        of_path.map(|worker| worker["counts"]["outcomes"]["answered"].as_u64().unwrap()).sum()
    };
    assert!(sum("af-xdp") >= 20 && sum("sockets") == 0, "{told:#}");
    assert_eq!(told["rates"]["places"].as_array().unwrap().len(), workers.len() + 1, "and TCP: {told:#}");
    assert!(told["rates"]["seconds"].as_f64().unwrap() >= 0.2, "{told:#}");
    assert_eq!(told["status"]["interfaces"][0]["queues"]["native-copy"], 2, "{told:#}");

    let text = lab.server.run(&[program, "top", "--once", "--interval", "0.2"]);
    let place = format!("{} q1", lab.link().server_interface);
    assert!(text.starts_with("xstun ") && text.contains(&place) && text.contains("answered"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_end_gives_the_terminal_back() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 5);
    for keys in ["q", "\x1b", "\x03", "\x1b[B\x1b[5~ q"] {
        let mut terminal = Terminal::open(&lab.server);
        terminal.wait_for("af-xdp");
        terminal.press(keys);
        terminal.given_back();
    }
    for signal in [Signal::TERM, Signal::HUP] {
        let terminal = Terminal::open(&lab.server);
        terminal.wait_for("af-xdp");
        kill_process(terminal.pid(), signal).unwrap();
        terminal.given_back();
    }
    server.stop();
}

/// As when a window is closed, or a connection of ssh breaks.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_terminal_that_is_gone_ends_it() {
    let lab = Lab::new(1);
    let server = SOCKETS.serve(&lab, &FLAGS);
    // A shell that ignores the signal does not pass it on.
    for first in ["", "trap '' HUP; "] {
        let terminal = Terminal::open_behind(&lab.server, first);
        terminal.wait_for("sockets");
        let pid = terminal.pid();
        drop(terminal);
        let deadline = Instant::now() + LIMIT;
        while runs(pid) {
            if Instant::now() >= deadline {
                kill_process(pid, Signal::KILL).unwrap();
                panic!("it goes on without a terminal: {first:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_that_goes_is_told_and_one_that_comes_is_shown() {
    let lab = Lab::new(1);
    let server = SOCKETS.serve(&lab, &FLAGS);
    let mut terminal = Terminal::open(&lab.server);
    terminal.wait_for("sockets");
    server.stop();
    terminal.wait_for("trying again: cannot fetch");
    let server = SOCKETS.serve(&lab, &[&FLAGS[..], &["--no-tcp"]].concat());
    let deadline = Instant::now() + LIMIT;
    while !terminal.shown().rsplit("trying again").next().unwrap().contains("arrows") {
        assert!(Instant::now() < deadline, "{:?}", terminal.shown());
        std::thread::sleep(Duration::from_millis(20));
    }
    terminal.press("q");
    terminal.given_back();
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn without_a_server_it_says_where_it_looked_and_touches_nothing() {
    let lab = Lab::new(1);
    let shown = Terminal::open(&lab.server).ended(1);
    assert!(!shown.contains(TAKEN), "{shown:?}");
    for word in ["http://127.0.0.1:9478", "refused", "--metrics-listen"] {
        assert!(shown.contains(word), "{word}: {shown:?}");
    }
}
