//! Boots a Debian system, with systemd as its first process, in namespaces of its own. What is installed
//! there is discarded with it.

use crate::children::{CapturedOutput, ChildGuard, capture};
use crate::interrupt::Interrupt;
use crate::netns::Namespace;
use crate::run::exec;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The Debian release that the package is built for.
const RELEASE: &str = "bookworm";
/// What an operator's system includes, and what the package depends on: the system has no network to
/// download it.
const INCLUDE: &str = "systemd,systemd-sysv,adduser,iproute2,procps,libelf1,zlib1g,libgcc-s1";
/// Longest wait for the system to boot, and for one command in it.
const LIMIT: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(100);

/// Script that becomes the first process. Arguments: base, directory of this run, cgroup, network
/// namespace. `ip netns exec` mounts a new /sys over the cgroups, so the script joins its cgroup before.
const BOOT: &str = r#"
set -e
echo $$ > "$3/cgroup.procs"
exec ip netns exec "$4" unshare --mount --uts --ipc --pid --fork --cgroup --propagation private --kill-child sh -ec '
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
    cd "$2/root"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm old
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for node in null zero full random urandom tty; do
        touch "dev/$node"
        mount --bind "/dev/$node" "dev/$node"
    done
    pivot_root . old
    umount -l /old
    rmdir /old
    exec env -i container=xstun PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal
' sh "$1" "$2" "$3"
"#;

/// Returns the directory of the base system, which is built once and kept.
///
/// # Errors
/// debootstrap fails.
pub(super) fn base(workspace: &Workspace) -> Result<PathBuf> {
    let base = workspace.target.join(RELEASE);
    let done = workspace.target.join(format!("{RELEASE}.done"));
    // A changed list of packages needs a new base.
    if fs::read_to_string(&done).is_ok_and(|included| included == INCLUDE) {
        return Ok(base);
    }
    println!("building a Debian system in {}", base.display());
    let _ = fs::remove_dir_all(&base);
    fs::create_dir_all(&base).with_context(|| format!("cannot create {}", base.display()))?;
    // Bound to itself, so that it can have device nodes even if the file system around it forbids them.
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,dev,exec,suid \"$1\" && \
                  exec debootstrap --variant=minbase --include=\"$2\" \"$3\" \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]).arg(&base);
    exec(command.args([INCLUDE, RELEASE]).stdout(Stdio::null()))?;
    fs::write(&done, INCLUDE).with_context(|| format!("cannot write {}", done.display()))?;
    Ok(base)
}

/// A booted system. Dropping it kills its processes and removes what they wrote.
pub(super) struct DebianMachine {
    /// `unshare`, whose only child is the system's first process.
    child: ChildGuard,
    init: Pid,
    directory: PathBuf,
    cgroup: PathBuf,
}

impl DebianMachine {
    /// Boots a copy of `base` in the network namespace.
    ///
    /// # Errors
    /// The kernel refuses a namespace, or systemd does not come up.
    pub(super) fn boot(
        base: &Path,
        scratch: &Path,
        network: &Namespace,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let name = format!("xstun-dist-{}", std::process::id());
        let directory = scratch.join(&name);
        for part in ["root", "upper", "work"] {
            fs::create_dir_all(directory.join(part)).with_context(|| format!("cannot create {name}"))?;
        }
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
        let cgroup =
            cgroup2_mount(&mounts).context("systemd needs cgroup2, which is not mounted")?.join(&name);
        fs::create_dir(&cgroup).with_context(|| format!("cannot create the cgroup {}", cgroup.display()))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-ec", BOOT, "sh"]).args([base, &directory, &cgroup]);
        command.arg(network.name());
        let child = command.stdin(Stdio::null()).spawn().context("cannot boot")?;
        let mut machine =
            DebianMachine { init: Pid::from_child(&child), child: ChildGuard(child), directory, cgroup };
        machine.wait_until_up(interrupt)?;
        Ok(machine)
    }

    fn wait_until_up(&mut self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            interrupt.check()?;
            if let Some(status) = self.child.0.try_wait()? {
                bail!("the system exited with {status} while it booted");
            }
            if let Some(init) = only_child(self.child.0.id()) {
                self.init = init;
                let state = self.run(&["systemctl", "is-system-running"], interrupt)?;
                if ["running", "degraded"].contains(&state.stdout.trim()) {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                bail!("systemd is not up after {} s", LIMIT.as_secs());
            }
            std::thread::sleep(TICK);
        }
    }

    /// Runs a command in the system to its end, whether it succeeds or fails.
    ///
    /// # Errors
    /// The command cannot be started, or does not end in time.
    pub(super) fn run(&self, words: &[&str], interrupt: &Interrupt) -> Result<CapturedOutput> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.as_raw_nonzero().to_string(), "--all", "--root", "--wd"]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root"]);
        capture(command.args(words), LIMIT, interrupt)
    }

    /// Returns the path by which this process reaches `inside`, a path of the system.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.init.as_raw_nonzero().to_string())
            .join("root")
            .join(inside.trim_start_matches('/'))
    }
}

impl Drop for DebianMachine {
    fn drop(&mut self) {
        // The kernel kills all processes of a PID namespace with its first.
        let _ = kill_process(self.init, Signal::KILL);
        let _ = self.child.0.kill();
        let _ = self.child.0.wait();
        let deadline = Instant::now() + LIMIT;
        while remove_cgroup(&self.cgroup).is_err() && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{} is left behind: {error}", self.directory.display());
        }
    }
}

/// Returns the first child of a process, if it has one.
fn only_child(process: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// Returns where the unified hierarchy of cgroups is mounted.
fn cgroup2_mount(mounts: &str) -> Option<PathBuf> {
    let mount = |line: &str| {
        let mut words = line.split_whitespace();
        let (path, kind) = (words.nth(1)?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    };
    mounts.lines().find_map(mount)
}

/// Removes a cgroup, its children first.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_cgroup(&path)?;
        }
    }
    fs::remove_dir(cgroup)
}

#[cfg(test)]
mod tests {
    use super::cgroup2_mount;
    use std::path::Path;

    #[test]
    fn the_unified_hierarchy_is_found_alone_and_among_others() {
        let alone = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(cgroup2_mount(alone).as_deref(), Some(Path::new("/sys/fs/cgroup")));
        let beside = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(cgroup2_mount(beside).as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup2_mount("tmpfs /cgroup2 tmpfs rw 0 0\n"), None);
    }
}
