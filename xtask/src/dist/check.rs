//! `cargo xtask dist --check`: the package installed, run, reloaded, stopped and purged in a Debian
//! system of its own, and the image's file system run without an engine.

mod takeover;

use super::Made;
use super::container::Recipe;
use super::machine::{self, Machine};
use crate::children::{Captured, Guarded, capture};
use crate::demo::stage::{INTERFACE, PREFIX, SERVER_V4, Stage};
use crate::interrupt::Interrupt;
use crate::netns;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for one question, and for a server to answer the first.
const LIMIT: Duration = Duration::from_secs(30);
/// What the container's flags leave to it; `docs/operations.md` tells the same.
const GRANTED: &str = "-all,+net_admin,+bpf,+perfmon,+net_raw,+net_bind_service,+ipc_lock";
const CONFIG: &str = "/etc/xstun/xstun.toml";
const USERS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// Checks the package, then the image.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(workspace: &Workspace, made: &Made) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the check makes namespaces: run `sudo env \"PATH=$PATH\" cargo xtask dist --check`");
    }
    let base = machine::base(workspace)?;
    let interrupt = Interrupt::catch()?;
    netns::reap(PREFIX)?;
    for shell in [["bash", "-n", "xstun.bash"], ["zsh", "-n", "_xstun"], ["fish", "-n", "xstun.fish"]] {
        let mut command = Command::new(shell[0]);
        let read =
            capture(command.current_dir(made.directory.join("pages")).args(&shell[1..]), LIMIT, &interrupt)?;
        ensure!(read.status.success(), "{} does not understand its completions: {}", shell[0], read.told());
    }
    println!("ok: bash, zsh and fish read their completions");
    package(workspace, made, &base, &interrupt)?;
    image(workspace, made, &interrupt)
}

/// One system, and somebody who asks it.
struct Check<'a> {
    stage: &'a Stage,
    machine: Machine,
    client: &'a Path,
    interrupt: &'a Interrupt,
}

impl Check<'_> {
    /// What the command printed, which has to succeed.
    fn must(&self, words: &[&str]) -> Result<String> {
        let done = self.machine.run(words, self.interrupt)?;
        ensure!(done.status.success(), "`{}` ended with {}: {}", words.join(" "), done.status, done.told());
        Ok(done.stdout)
    }

    fn property(&self, name: &str) -> Result<String> {
        self.property_of("xstun", name)
    }

    fn property_of(&self, unit: &str, name: &str) -> Result<String> {
        let told = self.must(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(told.trim().to_owned())
    }

    fn configure(&self, text: &str) -> Result<()> {
        fs::write(self.machine.path(CONFIG), text).context("cannot write the configuration")
    }

    /// Whether the server answers somebody on the other end of the wire.
    fn answers(&self) -> Result<bool> {
        ask(self.stage, self.client, "10", self.interrupt).map(|asked| asked.status.success())
    }

    /// Whether an XDP program is on the server's interface.
    fn has_xdp(&self) -> Result<bool> {
        Ok(self.must(&["ip", "-json", "link", "show", "dev", INTERFACE])?.contains("\"xdp\""))
    }

    /// A field of the status of every thread of the server.
    fn of_threads(&self, field: &str) -> Result<BTreeSet<String>> {
        let script = format!("cat /proc/{}/task/*/status", self.property("MainPID")?);
        let told = self.must(&["sh", "-c", &script])?;
        let values = told.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(values.map(|value| value.trim().to_owned()).collect())
    }

    /// Every file, but what a system writes for itself.
    fn files(&self) -> Result<BTreeSet<String>> {
        let told = self.must(&["find", "/", "-xdev"])?;
        Ok(told.lines().filter(|path| !is_own(path)).map(str::to_owned).collect())
    }

    fn users(&self) -> Result<String> {
        USERS.iter().map(|file| self.must(&["cat", file])).collect()
    }
}

/// Whether a file is the system's own business: logs, caches and the copies that are made of a
/// database before each change.
fn is_own(path: &str) -> bool {
    ["/var/log/", "/var/cache/", "/var/lib/dpkg/lock", "/var/lib/systemd/catalog/", "/root/"]
        .iter()
        .any(|own| path.starts_with(own))
        || (path.starts_with("/var/lib/dpkg/") && path.ends_with("-old"))
        || (path.starts_with("/etc/") && path.ends_with('-'))
}

fn package(workspace: &Workspace, made: &Made, base: &Path, interrupt: &Interrupt) -> Result<()> {
    let stage = Stage::build()?;
    let machine = Machine::boot(base, &workspace.target.join("dist"), &stage.server, interrupt)?;
    let client = workspace.xstun("release");
    let check = Check { stage: &stage, machine, client: &client, interrupt };
    println!(
        "ok: systemd is up: {}",
        check.must(&["systemctl", "--version"])?.lines().next().unwrap_or_default()
    );
    let (files, users) = (check.files()?, check.users()?);

    fs::copy(&made.deb, check.machine.path("/xstun.deb")).context("cannot copy the package in")?;
    check.must(&["dpkg", "--install", "/xstun.deb"])?;
    for (property, expected) in
        [("ActiveState", "active"), ("UnitFileState", "enabled"), ("User", "xstun"), ("Type", "notify")]
    {
        let found = check.property(property)?;
        ensure!(found == expected, "after the installation, {property} is {found} and not {expected}");
    }
    let verified = check.must(&["systemd-analyze", "verify", "--man=no", "xstun.service"])?;
    ensure!(verified.trim().is_empty(), "systemd-analyze verify: {verified}");
    score(workspace, &check)?;
    ensure!(check.answers()?, "the installed server does not answer");
    println!("ok: installed; it runs as it was configured, over sockets, and answers");

    serve_over_af_xdp(&check)?;
    reload(&check)?;

    check.must(&["systemctl", "stop", "xstun"])?;
    ensure!(check.property("Result")? == "success", "it stopped with {}", check.property("Result")?);
    takeover::run(&check)?;
    ensure!(!check.has_xdp()?, "it left its XDP program behind");
    ensure!(!ask(&stage, &client, "1", interrupt)?.status.success(), "something answers after the stop");
    println!("ok: stopped; no XDP program is left");

    check.must(&["dpkg", "--remove", "xstun"])?;
    check.must(&["test", "-e", CONFIG])?;
    check.must(&["dpkg", "--purge", "xstun"])?;
    fs::remove_file(check.machine.path("/xstun.deb"))?;
    let left: Vec<_> = check.files()?.difference(&files).cloned().collect();
    ensure!(left.is_empty(), "left behind after the purge: {}", left.join(", "));
    ensure!(check.users()? == users, "users or groups are not what they were before");
    println!("ok: removed and purged; no file, user or group is left");
    Ok(())
}

/// The exposure that systemd reckons is the one that the documents state.
fn score(workspace: &Workspace, check: &Check<'_>) -> Result<()> {
    let told = check.must(&["systemd-analyze", "security", "--no-pager", "xstun.service"])?;
    let level = told.lines().last().and_then(exposure).context("systemd-analyze security gave no level")?;
    let page = workspace.root.join("docs/operations.md");
    let page = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    ensure!(
        page.contains(&format!("exposure level of {level}")),
        "docs/operations.md does not say that systemd reckons an exposure level of {level}"
    );
    println!("ok: systemd-analyze verify finds nothing, security reckons {level}");
    Ok(())
}

/// The number in systemd's verdict.
fn exposure(line: &str) -> Option<&str> {
    line.split_once("xstun.service: ")?.1.split_whitespace().next()
}

fn serve_over_af_xdp(check: &Check<'_>) -> Result<()> {
    // One queue: RLIMIT_MEMLOCK of the machine that this runs on may be beyond systemd's reach.
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
        ensure!(found.iter().all(|rights| rights == "0000000000000000"), "{field} is {found:?}");
    }
    ensure!(!check.of_threads("Uid")?.iter().any(|ids| ids.starts_with("0\t")), "it runs as root");
    let entry = format!("XSTUN_INTERFACE={INTERFACE}");
    let found = check.must(&["journalctl", "--no-pager", "--unit", "xstun", "--output", "cat", &entry])?;
    ensure!(found.contains("serving"), "the journal has no entry with {entry}");
    println!("ok: over AF_XDP as its own user, without a capability; {entry} finds its entry in the journal");
    Ok(())
}

fn reload(check: &Check<'_>) -> Result<()> {
    let process = check.property("MainPID")?;
    let good = fs::read_to_string(check.machine.path(CONFIG))?;
    check.configure("no-such-key = 1\n")?;
    let refused = check.machine.run(&["systemctl", "reload", "xstun"], check.interrupt)?;
    ensure!(!refused.status.success(), "a wrong configuration is reloaded");
    ensure!(check.answers()?, "a wrong configuration ended the service");
    let log = check.must(&["journalctl", "--no-pager", "--unit", "xstun", "--output", "cat"])?;
    ensure!(log.contains("no-such-key"), "the journal does not name the wrong key");
    check.configure(&good)?;
    check.must(&["systemctl", "reload", "xstun"])?;
    ensure!(check.answers()?, "the server does not answer after the reload");
    ensure!(check.property("ActiveState")? == "active", "the service is not active after the reload");
    ensure!(check.property("MainPID")? == process, "the reload started another process");
    println!("ok: reloaded; a wrong configuration was refused and the old one stayed in force");
    Ok(())
}

/// Asks the server from the other end of the wire.
fn ask(stage: &Stage, client: &Path, seconds: &str, interrupt: &Interrupt) -> Result<Captured> {
    let mut command = stage.client.command(client);
    command.args(["probe", &SERVER_V4.to_string(), "--timeout", seconds]);
    capture(&mut command, LIMIT, interrupt)
}

fn image(workspace: &Workspace, made: &Made, interrupt: &Interrupt) -> Result<()> {
    let file = workspace.root.join("deploy/Containerfile");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let recipe = Recipe::parse(&text).with_context(|| file.display().to_string())?;
    let root = made.directory.join("image");
    let _ = fs::remove_dir_all(&root);
    recipe.assemble(&made.unpacked, &root)?;

    let stage = Stage::build()?;
    let client = workspace.xstun("release");
    let mut command = stage.server.command("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-ec"]);
    // As an engine has it: /proc and /sys, nothing of the host's files, few capabilities.
    let script = "root=$1; granted=$2; shift 2\n\
                  mount --bind \"$root\" \"$root\"\n\
                  mkdir -p \"$root/proc\" \"$root/sys\"\n\
                  mount -t proc proc \"$root/proc\"\n\
                  mount -t sysfs -o ro sysfs \"$root/sys\"\n\
                  exec setpriv --bounding-set \"$granted\" --no-new-privs chroot \"$root\" \"$@\"";
    command.args([script, "sh"]).arg(&root).arg(format!("{GRANTED},+sys_chroot"));
    command.args(recipe.command(&["serve", "--interface", INTERFACE, "--datapath", "af-xdp"]));
    let log = made.directory.join("image.log");
    let told = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told).spawn()?;
    let mut server = Guarded(child);
    let deadline = Instant::now() + LIMIT;
    loop {
        interrupt.check()?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("ready") && said.contains("af-xdp") {
            break;
        }
        if let Some(status) = server.0.try_wait()? {
            bail!("the image's server ended with {status}: {said}");
        }
        ensure!(Instant::now() < deadline, "the image's server is not ready: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = ask(&stage, &client, "10", interrupt)?;
    ensure!(asked.status.success(), "the image's server does not answer: {}", asked.told());
    println!(
        "ok: the image's file system alone serves over AF_XDP, with the capabilities that its flags grant"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{exposure, is_own};

    #[test]
    fn the_exposure_is_read_from_systemds_verdict() {
        assert_eq!(exposure("→ Overall exposure level for xstun.service: 2.3 OK 🙂"), Some("2.3"));
        assert_eq!(exposure(""), None);
    }

    #[test]
    fn what_a_package_leaves_is_told_from_what_a_system_writes() {
        for path in ["/var/log/dpkg.log", "/etc/passwd-", "/var/lib/dpkg/status-old"] {
            assert!(is_own(path), "{path}");
        }
        for path in
            ["/etc/xstun", "/var/lib/dpkg/info/xstun.list", "/var/lib/systemd/deb-systemd-helper-enabled/x"]
        {
            assert!(!is_own(path), "{path}");
        }
    }
}
