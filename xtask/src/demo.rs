//! `cargo xtask demo`: serves over AF_XDP between two network namespaces, and queries the server with
//! independent clients.

mod clients;
pub(crate) mod network;
mod server;

use crate::interrupt::Interrupt;
use crate::setup::Needs;
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Result, bail};
use clients::ClientResult;
use network::DemoNetwork;
use server::DemoServer;
use std::path::Path;

/// Seconds of load.
const LOAD_SECONDS: u32 = 3;

/// Sets up, builds, serves, queries, loads, and judges the results.
///
/// # Errors
/// A result is wrong; each fault is named.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the demonstration makes network namespaces and loads an XDP program, which needs root: \
             run `sudo env \"PATH=$PATH\" cargo xtask demo`"
        );
    }
    build::everything(workspace, Needs::DEMO)?;

    let interrupt = Interrupt::catch()?;
    netns::reap(network::KIND)?;
    let network = DemoNetwork::build()?;
    let program = workspace.xstun("release");
    let server = DemoServer::start(&network, &program, &interrupt)?;
    println!("\n{}", server.table());

    let mut faults = query(&network, &program, &interrupt)?;
    match clients::load(&network, &program, LOAD_SECONDS, &interrupt) {
        Ok(result) => println!("\nload, {LOAD_SECONDS} s: {result}"),
        Err(error) => faults.push(format!("load: {error:#}")),
    }
    interrupt.check()?;

    let counters = server.stop(&interrupt)?;
    println!("counted: {counters}");
    faults.extend(counters.faults());
    if faults.is_empty() {
        println!("\nall results are as expected");
        return Ok(());
    }
    bail!("results differ from what is expected:\n  {}", faults.join("\n  "))
}

/// Queries the server with each client, prints a table of the results, and returns the faults.
fn query(network: &DemoNetwork, program: &Path, interrupt: &Interrupt) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    println!("{:<32} {:<24} {:<24}", "client", "mapped address", "true address");
    for ClientResult { client, expected, mapped } in clients::query_all(network, program, interrupt)? {
        let (mapped, fault) = match mapped {
            Ok(mapped) => {
                let wrong = !expected.matches(mapped);
                (mapped.to_string(), wrong.then(|| "is not the true address".to_owned()))
            }
            Err(error) => ("-".to_owned(), Some(format!("got no address: {error:#}"))),
        };
        let verdict = if fault.is_none() { "ok" } else { "WRONG" };
        println!("{client:<32} {mapped:<24} {:<24} {verdict}", expected.to_string());
        faults.extend(fault.map(|fault| format!("{client}: {fault}")));
    }
    Ok(faults)
}
