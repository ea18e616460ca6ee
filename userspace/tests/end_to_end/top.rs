//! `xstun top`, on a terminal and for scripts.

use crate::metrics::{FLAGS, ask};
use crate::modes::{KERNEL_GENERIC, NATIVE, SOCKETS};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xstun_testkit::lab::server::xstun;
use xstun_testkit::lab::{Lab, Namespace};
use xstun_testkit::wait::LIMIT;

/// The control sequences that switch a terminal to its alternate screen and back.
const ENTER_SCREEN: &str = "\x1b[?1049h";
const LEAVE_SCREEN: &str = "\x1b[?1049l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// `xstun top` on its own terminal. The shell prints its process ID before it, and its exit code and the
/// terminal's settings after it.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(namespace: &Namespace) -> Self {
        Terminal::open_after(namespace, "")
    }

    /// Opens the terminal with `script`, which every distribution has. Its shell runs `first` before.
    fn open_after(namespace: &Namespace, first: &str) -> Self {
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

    /// The process ID of `xstun top`.
    fn pid(&self) -> Pid {
        let shown = self.wait_for("pid=");
        let number = shown.split("pid=").nth(1).and_then(|rest| rest.split('.').next());
        Pid::from_raw(number.and_then(|number| number.parse().ok()).expect("a number")).expect("not zero")
    }

    /// Waits for the exit with this code, asserts that the terminal's settings are restored, and returns all
    /// that was shown.
    fn exited(&self, code: i32) -> String {
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

    /// As [`Terminal::exited`] with code 0, and asserts that the screen and the cursor are restored.
    fn restored(&self) {
        let shown = self.exited(0);
        let (_, after) = shown
            .rsplit_once(ENTER_SCREEN)
            .unwrap_or_else(|| panic!("the alternate screen was never entered: {shown:?}"));
        assert!(after.contains(LEAVE_SCREEN) && after.contains(SHOW_CURSOR), "{after:?}");
        assert!(!shown.contains("panicked"), "{shown:?}");
    }
}

/// Whether the process still runs. An exited one stays listed as a zombie until its parent, or the process
/// that inherits it, waits for it.
fn runs(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else {
        return false;
    };
    // The state follows the name, which may contain any character.
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
fn once_prints_the_counters_as_json_and_text() {
    let lab = Lab::new(2);
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 20);
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let json = lab.server.run(&[program, "top", "--once", "--json", "--interval", "0.2"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let workers = json["status"]["workers"].as_array().unwrap();
    let sum = |path: &str| -> u64 {
        let of_path = workers.iter().filter(|worker| worker["path"] == path);
        of_path.map(|worker| worker["counts"]["outcomes"]["answered"].as_u64().unwrap()).sum()
    };
    assert!(sum("af-xdp") >= 20 && sum("sockets") == 0, "{json:#}");
    assert_eq!(json["rates"]["places"].as_array().unwrap().len(), workers.len() + 1, "and TCP: {json:#}");
    assert!(json["rates"]["seconds"].as_f64().unwrap() >= 0.2, "{json:#}");
    assert_eq!(json["status"]["interfaces"][0]["queues"]["native-copy"], 2, "{json:#}");

    let text = lab.server.run(&[program, "top", "--once", "--interval", "0.2"]);
    let queue = format!("{} q1", lab.link().server_interface);
    assert!(text.starts_with("xstun ") && text.contains(&queue) && text.contains("answered"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    server.stop();
}

/// What the XDP program answers reaches no worker, and counts in the sums all the same.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn kernel_answers_are_shown_and_summed() {
    let lab = Lab::new(1);
    let server = KERNEL_GENERIC.serve(&lab, &FLAGS);
    ask(&lab, 20);
    let program = xstun();
    let program = program.to_str().expect("a path in UTF-8");
    let json = lab.server.run(&[program, "top", "--once", "--json", "--interval", "0.2"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let answers = &json["status"]["interfaces"][0]["kernel_answers"];
    assert_eq!(answers["serving"], true, "{json:#}");
    assert!(answers["counts"]["replies"].as_u64().unwrap() >= 20, "{json:#}");
    assert_eq!(answers["counts"]["replies"], answers["counts"]["outcomes"]["answered"], "{json:#}");
    assert!(json["rates"]["kernel_answers"][&lab.link().server_interface].is_object(), "{json:#}");
    let text = lab.server.run(&[program, "top", "--once", "--interval", "0.2"]);
    let outcome = text.lines().find(|line| line.starts_with("answered ")).unwrap_or_else(|| panic!("{text}"));
    let total = outcome.split_whitespace().last().unwrap().parse::<u64>().unwrap();
    assert!(total >= 20 && text.contains("KERNEL ANSWERS"), "{text}");
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_exit_restores_the_terminal() {
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 5);
    for keys in ["q", "\x1b", "\x03", "\x1b[B\x1b[5~ q"] {
        let mut terminal = Terminal::open(&lab.server);
        terminal.wait_for("af-xdp");
        terminal.press(keys);
        terminal.restored();
    }
    for signal in [Signal::TERM, Signal::HUP] {
        let terminal = Terminal::open(&lab.server);
        terminal.wait_for("af-xdp");
        kill_process(terminal.pid(), signal).unwrap();
        terminal.restored();
    }
    server.stop();
}

/// As when a window is closed, or an SSH connection breaks.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn top_exits_when_its_terminal_is_closed() {
    let lab = Lab::new(1);
    let server = SOCKETS.serve(&lab, &FLAGS);
    // A shell that ignores the signal does not pass it on.
    for first in ["", "trap '' HUP; "] {
        let terminal = Terminal::open_after(&lab.server, first);
        terminal.wait_for("sockets");
        let pid = terminal.pid();
        drop(terminal);
        let deadline = Instant::now() + LIMIT;
        while runs(pid) {
            if Instant::now() >= deadline {
                kill_process(pid, Signal::KILL).unwrap();
                panic!("it still runs without a terminal: {first:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn top_reports_a_stopped_server_and_shows_its_replacement() {
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
    terminal.restored();
    server.stop();
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn without_a_server_top_names_the_url_and_leaves_the_terminal_alone() {
    let lab = Lab::new(1);
    let shown = Terminal::open(&lab.server).exited(1);
    assert!(!shown.contains(ENTER_SCREEN), "{shown:?}");
    for word in ["http://127.0.0.1:9478", "refused", "--metrics-listen"] {
        assert!(shown.contains(word), "{word}: {shown:?}");
    }
}
