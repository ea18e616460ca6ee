//! xdpdump, which attaches to an XDP program by its BTF, shows the requests and the replies of kernel answers, and the
//! requests that go to the workers.

use crate::clients::is_program_installed;
use crate::modes::KERNEL_GENERIC;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::transaction::Transaction;
use xstun_testkit::wait::{received, wait_for};

/// A running xdpdump and its file, both gone on drop.
struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Captures what enters and leaves the XDP program of the lab's server, and waits until it does. `None` if this
    /// machine permits nobody to trace an XDP program.
    fn start(lab: &Lab) -> Option<Self> {
        let file = std::env::temp_dir().join(format!("{}.pcap", lab.server.name()));
        let mut command = lab.server.command("xdpdump");
        command.args(["-i", &lab.link().server_interface, "-p", "xstun_answers_frags"]);
        command.args(["--rx-capture", "entry,exit", "-w"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines =
            BufReader::new(child.stderr.take().expect("stderr is piped")).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let capture = Capture { child, file };
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("xdpdump ended: {seen:#?}"));
            if line.contains("Can't load eBPF object: Operation not permitted") {
                eprintln!("skipped: {line}: this machine does not let root trace programs");
                return None;
            }
            if line.starts_with("listening on") {
                // The pipe stays open, so that xdpdump can write its summary.
                std::thread::spawn(move || lines.for_each(drop));
                return Some(capture);
            }
            seen.push(line);
        }
    }

    /// Ends the capture and returns the file.
    fn end(mut self) -> Vec<u8> {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("xdpdump runs");
        wait_for("the end of xdpdump", || self.child.try_wait().expect("a child of this process"));
        fs::read(&self.file).unwrap_or_else(|error| panic!("{}: {error}", self.file.display()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn xdpdump_shows_requests_and_the_programs_replies() {
    if !is_program_installed("xdpdump", "apt-get install xdp-tools") {
        return;
    }
    let lab = Lab::new(1);
    let link = lab.link();
    let server = KERNEL_GENERIC.serve(&lab, &[]);
    let Some(capture) = Capture::start(&lab) else { return };
    let to = SocketAddr::new(link.server_v4.into(), PORT);
    let client = lab.client.enter(|| std::net::UdpSocket::bind((link.client_v4, 0))).expect("a socket");
    client.connect(to).expect("an address of the lab");
    client.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("not zero");
    // The second asks for an attribute that nobody knows: the worker's 420 is not the program's.
    let (plain, unknown) = (Transaction::with_cookie(), Transaction::with_cookie());
    let requests = [plain.request(&[]), unknown.request(&[0x7f, 0xff, 0, 0])];
    let replies = requests.each_ref().map(|request| {
        wait_for("a reply", || {
            client.send(request).expect("a request leaves");
            let mut buffer = [0; 512];
            let length = received(|| client.recv(&mut buffer))?;
            (buffer[4..20] == request[4..20]).then(|| buffer[..length].to_vec())
        })
    });
    let captured = capture.end();
    let shows = |bytes: &[u8]| captured.windows(bytes.len()).any(|window| window == bytes);
    assert!(shows(&requests[0]) && shows(&replies[0]), "the plain request and its reply");
    assert!(shows(&requests[1]), "the request that goes to the worker");
    assert!(!shows(&replies[1]), "the worker's reply leaves by its socket");
    let counters = server.stop();
    assert!(counters.replies("xdp") >= 1, "{}", counters.log);
    assert!(counters.get("af-xdp", "unknown_attribute") >= 1, "{}", counters.log);
}
