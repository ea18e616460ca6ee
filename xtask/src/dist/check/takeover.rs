//! Checks that one instance of the service template takes over from another, under load.

use super::{LIMIT, PackageCheck};
use crate::children::ChildGuard;
use crate::demo::network::{INTERFACE, SERVER_V4};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const CONTROL: &str = "/run/xstun/control";
/// Seconds of load: enough for both take-overs.
const SECONDS: &str = "30";
const TICK: Duration = Duration::from_millis(100);

/// Takes over from the first instance to the second and back, checks that a failing instance changes
/// nothing, and drains.
///
/// # Errors
/// The first check that fails.
pub(super) fn run(check: &PackageCheck<'_>) -> Result<()> {
    let good = format!(
        "interface = ['{INTERFACE}']\ndatapath = 'af-xdp'\nqueues = 1\nlog-format = 'journald'\n\
         control = '{CONTROL}'\ndrain-seconds = 20\n"
    );
    check.configure(&good)?;
    let verified = check.must(&["systemd-analyze", "verify", "--man=no", "xstun@a.service"])?;
    ensure!(verified.trim().is_empty(), "systemd-analyze verify: {verified}");
    check.must(&["systemctl", "start", "xstun@a"])?;
    ensure!(check.answers()?, "the first instance does not answer");

    let mut load = load(check)?;
    take_over(check, "xstun@a", "xstun@b")?;
    take_over(check, "xstun@b", "xstun@a")?;
    ensure!(load.0.try_wait()?.is_none(), "the load ended before both take-overs");
    check_load(check, &mut load)?;
    println!("ok: instances of the template take over from each other under load; no request is lost");

    // The host does not own the address, so the second instance cannot bind it.
    check.configure(&format!("{good}listen = ['{SERVER_V4}:3478', '203.0.113.1:3478']\n"))?;
    let process = check.property_of("xstun@a", "MainPID")?;
    let failed = check.machine.run(&["systemctl", "start", "xstun@b"], check.interrupt)?;
    ensure!(!failed.status.success(), "an instance starts that cannot bind its address");
    check.must(&["systemctl", "stop", "xstun@b"])?;
    ensure!(check.property_of("xstun@a", "MainPID")? == process, "the first instance was restarted");
    ensure!(check.property_of("xstun@a", "ActiveState")? == "active", "the first instance is not active");
    ensure!(check.answers()?, "the first instance does not answer after the second failed");
    println!("ok: an instance that fails leaves the running one unchanged");

    let printed = check.must(&["xstun", "drain", "--control", CONTROL])?;
    ensure!(printed.starts_with("draining: it exits in 20 seconds"), "`xstun drain` printed '{printed}'");
    wait_for_exit(check, "xstun@a")?;
    check.must(&["test", "!", "-e", CONTROL])?;
    println!("ok: drained over the control socket in the unit's own directory");
    check.machine.run(&["systemctl", "reset-failed"], check.interrupt)?;
    Ok(())
}

/// Starts `to`, for which `from` exits.
fn take_over(check: &PackageCheck<'_>, from: &str, to: &str) -> Result<()> {
    let before = check.property_of(from, "MainPID")?;
    let started = check.machine.run(&["systemctl", "start", to], check.interrupt)?;
    if !started.status.success() {
        let journal =
            check.must(&["journalctl", "--no-pager", "--output=cat", "--lines=20", "--unit", to])?;
        bail!("{to} did not take over from {from}; its journal ends with:\n{journal}");
    }
    ensure!(check.property_of(to, "ActiveState")? == "active", "{to} is not active");
    ensure!(check.property_of(to, "MainPID")? != before, "{to} is the process of {from}");
    wait_for_exit(check, from)?;
    check.must(&["test", "-S", CONTROL])?;
    ensure!(check.has_xdp()?, "the XDP program was detached with {from}");
    check.answers()?.then_some(()).with_context(|| format!("{to} does not answer"))
}

/// Waits until an instance has exited with success.
fn wait_for_exit(check: &PackageCheck<'_>, unit: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        check.interrupt.check()?;
        let state = check.property_of(unit, "ActiveState")?;
        if state == "inactive" {
            break;
        }
        ensure!(state != "failed" && Instant::now() < deadline, "{unit} is {state}, not inactive");
        std::thread::sleep(TICK);
    }
    for (property, expected) in [("Result", "success"), ("NRestarts", "0")] {
        let found = check.property_of(unit, property)?;
        ensure!(found == expected, "{unit} exited, and {property} is {found}, not {expected}");
    }
    Ok(())
}

/// Starts a load of requests from the other end of the wire.
fn load(check: &PackageCheck<'_>) -> Result<ChildGuard> {
    let mut command = check.network.client.command(check.client);
    command.args(["load", &SERVER_V4.to_string(), "--rate", "2000", "--duration", SECONDS, "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    Ok(ChildGuard(child.context("cannot start the load")?))
}

/// Waits for the end of the load, and checks that every request got its reply.
fn check_load(check: &PackageCheck<'_>, load: &mut ChildGuard) -> Result<()> {
    let status = load.wait(2 * LIMIT, check.interrupt)?;
    let mut report = String::new();
    if let Some(out) = &mut load.0.stdout {
        out.read_to_string(&mut report)?;
    }
    let counts: Value = serde_json::from_str(&report).unwrap_or_default();
    let all_replied = status.success() && counts["lost"] == 0 && counts["wrong"] == 0;
    ensure!(all_replied, "the load under the take-overs ended with {status}: {report}");
    Ok(())
}
