//! `cargo xtask dist --check`: installs, runs, reloads, stops and purges the package in a Debian system
//! of its own, and runs the image's file system without a container engine.

mod takeover;

use super::Artifacts;
use super::container::Recipe;
use super::machine::{self, DebianMachine};
use crate::children::{CapturedOutput, ChildGuard, capture};
use crate::demo::network::{DemoNetwork, INTERFACE, KIND, SERVER_V4};
use crate::interrupt::Interrupt;
use crate::netns;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for one request, and for a server to answer the first one.
const LIMIT: Duration = Duration::from_secs(30);
/// Capabilities of the container, as in `docs/operations.md`.
const GRANTED: &str = "-all,+net_admin,+bpf,+perfmon,+net_raw,+net_bind_service,+ipc_lock";
const CONFIG: &str = "/etc/xstun/xstun.toml";
const USERS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// Checks the completions, the package, then the image.
///
/// # Errors
/// The first check that fails.
pub(super) fn run(workspace: &Workspace, artifacts: &Artifacts) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the check creates namespaces and needs root: run `sudo env \"PATH=$PATH\" cargo xtask dist --check`"
        );
    }
    let base = machine::base(workspace)?;
    let interrupt = Interrupt::catch()?;
    netns::reap(KIND)?;
    for shell in [["bash", "-n", "xstun.bash"], ["zsh", "-n", "_xstun"], ["fish", "-n", "xstun.fish"]] {
        let mut command = Command::new(shell[0]);
        let read = capture(
            command.current_dir(artifacts.directory.join("pages")).args(&shell[1..]),
            LIMIT,
            &interrupt,
        )?;
        ensure!(read.status.success(), "{} cannot read its completions: {}", shell[0], read.printed());
    }
    println!("ok: bash, zsh and fish read their completions");
    package(workspace, artifacts, &base, &interrupt)?;
    image(workspace, artifacts, &interrupt)
}

/// A Debian system with the server, and a client on the other end of the wire.
struct PackageCheck<'a> {
    network: &'a DemoNetwork,
    machine: DebianMachine,
    client: &'a Path,
    interrupt: &'a Interrupt,
}

impl PackageCheck<'_> {
    /// Runs a command that must succeed, and returns its standard output.
    fn must(&self, words: &[&str]) -> Result<String> {
        let done = self.machine.run(words, self.interrupt)?;
        ensure!(
            done.status.success(),
            "`{}` failed with {}: {}",
            words.join(" "),
            done.status,
            done.printed()
        );
        Ok(done.stdout)
    }

    /// Reads a property of the unit `xstun.service`.
    fn property(&self, name: &str) -> Result<String> {
        self.property_of("xstun", name)
    }

    fn property_of(&self, unit: &str, name: &str) -> Result<String> {
        let value = self.must(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(value.trim().to_owned())
    }

    fn configure(&self, text: &str) -> Result<()> {
        fs::write(self.machine.path(CONFIG), text).context("cannot write the configuration")
    }

    /// Whether the server answers the client.
    fn answers(&self) -> Result<bool> {
        ask(self.network, self.client, "10", self.interrupt).map(|asked| asked.status.success())
    }

    /// Whether an XDP program is attached to the server's interface.
    fn has_xdp(&self) -> Result<bool> {
        Ok(self.must(&["ip", "-json", "link", "show", "dev", INTERFACE])?.contains("\"xdp\""))
    }

    /// Reads a field of `/proc/PID/status` of every thread of the server.
    fn of_threads(&self, field: &str) -> Result<BTreeSet<String>> {
        let script = format!("cat /proc/{}/task/*/status", self.property("MainPID")?);
        let status = self.must(&["sh", "-c", &script])?;
        let values = status.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(values.map(|value| value.trim().to_owned()).collect())
    }

    /// Lists every file except those that the system writes for itself.
    fn files(&self) -> Result<BTreeSet<String>> {
        let files = self.must(&["find", "/", "-xdev"])?;
        Ok(files.lines().filter(|path| !is_of_system(path)).map(str::to_owned).collect())
    }

    fn users(&self) -> Result<String> {
        USERS.iter().map(|file| self.must(&["cat", file])).collect()
    }
}

/// Whether the system writes the file for itself: logs, caches, and copies of databases that are made
/// before each change.
fn is_of_system(path: &str) -> bool {
    ["/var/log/", "/var/cache/", "/var/lib/dpkg/lock", "/var/lib/systemd/catalog/", "/root/"]
        .iter()
        .any(|own| path.starts_with(own))
        || (path.starts_with("/var/lib/dpkg/") && path.ends_with("-old"))
        || (path.starts_with("/etc/") && path.ends_with('-'))
}

/// Installs the package, checks what it serves, and purges it.
fn package(workspace: &Workspace, artifacts: &Artifacts, base: &Path, interrupt: &Interrupt) -> Result<()> {
    let network = DemoNetwork::build()?;
    let machine = DebianMachine::boot(base, &workspace.target.join("dist"), &network.server, interrupt)?;
    let client = workspace.xstun("release");
    let check = PackageCheck { network: &network, machine, client: &client, interrupt };
    println!(
        "ok: systemd is up: {}",
        check.must(&["systemctl", "--version"])?.lines().next().unwrap_or_default()
    );
    let (files, users) = (check.files()?, check.users()?);

    fs::copy(&artifacts.deb, check.machine.path("/xstun.deb")).context("cannot copy the package in")?;
    check.must(&["dpkg", "--install", "/xstun.deb"])?;
    for (property, expected) in
        [("ActiveState", "active"), ("UnitFileState", "enabled"), ("User", "xstun"), ("Type", "notify")]
    {
        let found = check.property(property)?;
        ensure!(found == expected, "after the installation, {property} is {found}, not {expected}");
    }
    let verified = check.must(&["systemd-analyze", "verify", "--man=no", "xstun.service"])?;
    ensure!(verified.trim().is_empty(), "systemd-analyze verify: {verified}");
    exposure_level(workspace, &check)?;
    ensure!(check.answers()?, "the installed server does not answer");
    println!("ok: installed; it serves over sockets, as configured, and answers");

    serve_over_af_xdp(&check)?;
    reload(&check)?;

    check.must(&["systemctl", "stop", "xstun"])?;
    ensure!(check.property("Result")? == "success", "it stopped with result {}", check.property("Result")?);
    takeover::run(&check)?;
    ensure!(!check.has_xdp()?, "it left its XDP program behind");
    ensure!(!ask(&network, &client, "1", interrupt)?.status.success(), "the server answers after the stop");
    println!("ok: stopped; no XDP program is left");

    check.must(&["dpkg", "--remove", "xstun"])?;
    check.must(&["test", "-e", CONFIG])?;
    check.must(&["dpkg", "--purge", "xstun"])?;
    fs::remove_file(check.machine.path("/xstun.deb"))?;
    let left: Vec<_> = check.files()?.difference(&files).cloned().collect();
    ensure!(left.is_empty(), "left behind after the purge: {}", left.join(", "));
    ensure!(check.users()? == users, "the purge leaves other users or groups than there were before");
    println!("ok: removed and purged; no file, user or group is left");
    Ok(())
}

/// Compares systemd's exposure level with the one in the documents.
fn exposure_level(workspace: &Workspace, check: &PackageCheck<'_>) -> Result<()> {
    let analysis = check.must(&["systemd-analyze", "security", "--no-pager", "xstun.service"])?;
    let level =
        analysis.lines().last().and_then(exposure).context("systemd-analyze security prints no level")?;
    let page = workspace.root.join("docs/operations.md");
    let page = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    ensure!(
        page.contains(&format!("exposure level of {level}")),
        "systemd gives an exposure level of {level}; write `exposure level of {level}` in docs/operations.md"
    );
    println!("ok: systemd-analyze verify finds nothing, security gives {level}");
    Ok(())
}

/// Reads the number in the last line of `systemd-analyze security`.
fn exposure(line: &str) -> Option<&str> {
    line.split_once("xstun.service: ")?.1.split_whitespace().next()
}

/// Checks AF_XDP, capabilities and the journal.
fn serve_over_af_xdp(check: &PackageCheck<'_>) -> Result<()> {
    // One queue: systemd may be unable to raise this machine's RLIMIT_MEMLOCK.
    check.configure(&format!(
        "interface = ['{INTERFACE}']\ndatapath = 'af-xdp'\nqueues = 1\nlog-format = 'journald'\n"
    ))?;
    check.must(&["systemctl", "restart", "xstun"])?;
    ensure!(check.has_xdp()?, "no XDP program is attached");
    ensure!(check.answers()?, "the server does not answer over AF_XDP");
    let status = check.property("StatusText")?;
    ensure!(status.contains(&format!("{INTERFACE}: 1 queues over AF_XDP")), "its status is '{status}'");
    for field in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        let found = check.of_threads(field)?;
        ensure!(found.iter().all(|capabilities| capabilities == "0000000000000000"), "{field} is {found:?}");
    }
    ensure!(!check.of_threads("Uid")?.iter().any(|ids| ids.starts_with("0\t")), "it runs as root");
    let entry = format!("XSTUN_INTERFACE={INTERFACE}");
    let found = check.must(&["journalctl", "--no-pager", "--unit", "xstun", "--output", "cat", &entry])?;
    ensure!(found.contains("serving"), "the journal has no entry with {entry}");
    println!(
        "ok: it serves over AF_XDP as its own user, without a capability; {entry} finds its entry in the journal"
    );
    Ok(())
}

/// Checks that a reload refuses a wrong configuration and adopts a correct one.
fn reload(check: &PackageCheck<'_>) -> Result<()> {
    let process = check.property("MainPID")?;
    let good = fs::read_to_string(check.machine.path(CONFIG))?;
    check.configure("no-such-key = 1\n")?;
    let refused = check.machine.run(&["systemctl", "reload", "xstun"], check.interrupt)?;
    ensure!(!refused.status.success(), "the reload accepts a wrong configuration");
    ensure!(check.answers()?, "the server does not answer after the refused reload");
    let log = check.must(&["journalctl", "--no-pager", "--unit", "xstun", "--output", "cat"])?;
    ensure!(log.contains("no-such-key"), "the journal does not name the wrong key");
    check.configure(&good)?;
    check.must(&["systemctl", "reload", "xstun"])?;
    ensure!(check.answers()?, "the server does not answer after the reload");
    ensure!(check.property("ActiveState")? == "active", "the service is not active after the reload");
    ensure!(check.property("MainPID")? == process, "the reload started another process");
    println!("ok: reloaded; a wrong configuration was refused and the old one stayed in effect");
    Ok(())
}

/// Sends a request from the other end of the wire and waits for its reply.
fn ask(network: &DemoNetwork, client: &Path, seconds: &str, interrupt: &Interrupt) -> Result<CapturedOutput> {
    let mut command = network.client.command(client);
    command.args(["probe", &SERVER_V4.to_string(), "--timeout", seconds]);
    capture(&mut command, LIMIT, interrupt)
}

/// Runs the image's file system as a container engine would, and asks it.
fn image(workspace: &Workspace, artifacts: &Artifacts, interrupt: &Interrupt) -> Result<()> {
    let file = workspace.root.join("deploy/Containerfile");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let recipe = Recipe::parse(&text).with_context(|| file.display().to_string())?;
    let root = artifacts.directory.join("image");
    let _ = fs::remove_dir_all(&root);
    recipe.assemble(&artifacts.unpacked, &root)?;

    let network = DemoNetwork::build()?;
    let client = workspace.xstun("release");
    let mut command = network.server.command("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-ec"]);
    // As an engine does it: /proc and /sys, none of the host's files, few capabilities.
    let script = "root=$1; granted=$2; shift 2\n\
                  mount --bind \"$root\" \"$root\"\n\
                  mkdir -p \"$root/proc\" \"$root/sys\"\n\
                  mount -t proc proc \"$root/proc\"\n\
                  mount -t sysfs -o ro sysfs \"$root/sys\"\n\
                  exec setpriv --bounding-set \"$granted\" --no-new-privs chroot \"$root\" \"$@\"";
    command.args([script, "sh"]).arg(&root).arg(format!("{GRANTED},+sys_chroot"));
    command.args(recipe.command(&["serve", "--interface", INTERFACE, "--datapath", "af-xdp"]));
    let log = artifacts.directory.join("image.log");
    let written = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(written).spawn()?;
    let mut server = ChildGuard(child);
    let deadline = Instant::now() + LIMIT;
    loop {
        interrupt.check()?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains("ready") && text.contains("af-xdp") {
            break;
        }
        if let Some(status) = server.0.try_wait()? {
            bail!("the image's server exited with {status}: {text}");
        }
        ensure!(
            Instant::now() < deadline,
            "the image's server is not ready after {} s: {text}",
            LIMIT.as_secs()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = ask(&network, &client, "10", interrupt)?;
    ensure!(asked.status.success(), "the image's server does not answer: {}", asked.printed());
    println!(
        "ok: the image's file system serves over AF_XDP with the capabilities that the documents grant it"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{exposure, is_of_system};

    #[test]
    fn the_exposure_level_is_read() {
        assert_eq!(exposure("→ Overall exposure level for xstun.service: 2.3 OK 🙂"), Some("2.3"));
        assert_eq!(exposure(""), None);
    }

    #[test]
    fn files_of_the_package_are_not_those_of_the_system() {
        for path in ["/var/log/dpkg.log", "/etc/passwd-", "/var/lib/dpkg/status-old"] {
            assert!(is_of_system(path), "{path}");
        }
        for path in
            ["/etc/xstun", "/var/lib/dpkg/info/xstun.list", "/var/lib/systemd/deb-systemd-helper-enabled/x"]
        {
            assert!(!is_of_system(path), "{path}");
        }
    }
}
