//! One instance of the template takes over from another, under load and under systemd.

use super::{Check, LIMIT};
use crate::children::Guarded;
use crate::demo::stage::{INTERFACE, SERVER_V4};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const CONTROL: &str = "/run/xstun/control";
/// Seconds of load, which both take-overs need to fit in.
const SECONDS: &str = "30";
const TICK: Duration = Duration::from_millis(100);

/// Takes over there and back, fails to, and drains.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(check: &Check<'_>) -> Result<()> {
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
    change(check, "xstun@a", "xstun@b")?;
    change(check, "xstun@b", "xstun@a")?;
    ensure!(load.0.try_wait()?.is_none(), "the load ended before both had taken over");
    judge(check, &mut load)?;
    println!("ok: instances of the template take over from each other under load; nothing is lost");

    // An address that the host has not: the second cannot bind it.
    check.configure(&format!("{good}listen = ['{SERVER_V4}:3478', '203.0.113.1:3478']\n"))?;
    let process = check.property_of("xstun@a", "MainPID")?;
    let failed = check.machine.run(&["systemctl", "start", "xstun@b"], check.interrupt)?;
    ensure!(!failed.status.success(), "an instance with an address that is not to be had starts");
    check.must(&["systemctl", "stop", "xstun@b"])?;
    ensure!(check.property_of("xstun@a", "MainPID")? == process, "the first instance is another process");
    ensure!(check.property_of("xstun@a", "ActiveState")? == "active", "the first instance is not active");
    ensure!(check.answers()?, "the first instance does not answer after the other failed");
    println!("ok: an instance that fails leaves the one that runs as it was");

    let told = check.must(&["xstun", "drain", "--control", CONTROL])?;
    ensure!(told.starts_with("draining: it ends in 20 seconds"), "draining says '{told}'");
    ended(check, "xstun@a")?;
    check.must(&["test", "!", "-e", CONTROL])?;
    println!("ok: drained over the control socket in the unit's own directory");
    check.machine.run(&["systemctl", "reset-failed"], check.interrupt)?;
    Ok(())
}

/// Starts one instance, for which the other ends.
fn change(check: &Check<'_>, from: &str, to: &str) -> Result<()> {
    let before = check.property_of(from, "MainPID")?;
    let started = check.machine.run(&["systemctl", "start", to], check.interrupt)?;
    if !started.status.success() {
        let told = check.must(&["journalctl", "--no-pager", "--output=cat", "--lines=20", "--unit", to])?;
        bail!("{to} did not take over from {from}; its journal ends with:\n{told}");
    }
    ensure!(check.property_of(to, "ActiveState")? == "active", "{to} is not active");
    ensure!(check.property_of(to, "MainPID")? != before, "{to} is the process of {from}");
    ended(check, from)?;
    check.must(&["test", "-S", CONTROL])?;
    ensure!(check.has_xdp()?, "the XDP program went with {from}");
    check.answers()?.then_some(()).with_context(|| format!("{to} does not answer"))
}

/// Waits until an instance has ended in good order.
fn ended(check: &Check<'_>, unit: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        check.interrupt.check()?;
        let state = check.property_of(unit, "ActiveState")?;
        if state == "inactive" {
            break;
        }
        ensure!(state != "failed" && Instant::now() < deadline, "{unit} is {state} and not at its end");
        std::thread::sleep(TICK);
    }
    for (property, expected) in [("Result", "success"), ("NRestarts", "0")] {
        let found = check.property_of(unit, property)?;
        ensure!(found == expected, "{unit} ended, and {property} is {found} and not {expected}");
    }
    Ok(())
}

/// Begins to ask from the other end of the wire.
fn load(check: &Check<'_>) -> Result<Guarded> {
    let mut command = check.stage.client.command(check.client);
    command.args(["load", &SERVER_V4.to_string(), "--rate", "2000", "--duration", SECONDS, "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    Ok(Guarded(child.context("cannot start the load")?))
}

/// Waits for the end of the load: every request has its reply.
fn judge(check: &Check<'_>, load: &mut Guarded) -> Result<()> {
    let status = load.wait(2 * LIMIT, check.interrupt)?;
    let mut told = String::new();
    if let Some(out) = &mut load.0.stdout {
        out.read_to_string(&mut told)?;
    }
    let counts: Value = serde_json::from_str(&told).unwrap_or_default();
    let all = status.success() && counts["lost"] == 0 && counts["wrong"] == 0;
    ensure!(all, "under the take-overs the load ended with {status}: {told}");
    Ok(())
}
