//! `cargo xtask demo`: the responder between two network namespaces, asked by independent clients.

mod clients;
mod server;
pub(crate) mod stage;

use crate::interrupt::Interrupt;
use crate::setup::{self, Needs};
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Result, bail};
use clients::Asked;
use server::Server;
use stage::Stage;

/// Seconds of load.
const LOAD_SECONDS: u32 = 3;

/// Sets up, builds, serves, asks, loads, and judges what came of it.
///
/// # Errors
/// Anything was not as it should be; each fault is named.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the demonstration makes network namespaces and loads an XDP program, which needs root: \
             run `sudo env \"PATH=$PATH\" cargo xtask demo`"
        );
    }
    let ready = setup::run(workspace, Needs::DEMO)?;
    build::ebpf(workspace, &ready)?;
    build::program(workspace, false)?;

    let interrupt = Interrupt::catch()?;
    netns::reap(stage::KIND)?;
    let stage = Stage::build()?;
    let program = workspace.xstun("release");
    let server = Server::start(&stage, &program, &interrupt)?;
    println!("\n{}", server.table());

    let mut faults = Vec::new();
    println!("{:<32} {:<24} {:<24}", "client", "mapped address", "true address");
    for Asked { client, expected, mapped } in clients::ask_all(&stage, &program, &interrupt)? {
        let (mapped, fault) = match mapped {
            Ok(mapped) => {
                (mapped.to_string(), (!expected.is(mapped)).then(|| "is not the true one".to_owned()))
            }
            Err(error) => ("-".to_owned(), Some(format!("got no address: {error:#}"))),
        };
        let verdict = if fault.is_none() { "ok" } else { "WRONG" };
        println!("{client:<32} {mapped:<24} {:<24} {verdict}", expected.to_string());
        faults.extend(fault.map(|fault| format!("{client}: {fault}")));
    }

    match clients::load(&stage, &program, LOAD_SECONDS, &interrupt) {
        Ok(told) => println!("\nload, {LOAD_SECONDS} s: {told}"),
        Err(error) => faults.push(format!("load: {error:#}")),
    }
    interrupt.check()?;

    let counters = server.stop(&interrupt)?;
    println!("counted: {counters}");
    faults.extend(counters.faults());
    if faults.is_empty() {
        println!("\nall as it should be");
        return Ok(());
    }
    bail!("not as it should be:\n  {}", faults.join("\n  "))
}
