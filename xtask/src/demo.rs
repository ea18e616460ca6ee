//! `cargo xtask demo`: serves by each tier in turn between two network namespaces, and queries the server
//! with independent clients.

mod clients;
pub(crate) mod network;
mod server;
mod tier;

use crate::interrupt::Interrupt;
use crate::setup::Needs;
use crate::workspace::Workspace;
use crate::{build, netns};
use anyhow::{Result, bail};
use clients::{ClientResult, LoadResult};
use network::DemoNetwork;
use server::DemoServer;
use std::path::{Path, PathBuf};
use tier::{TIERS, Tier};

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
    let ready = build::everything(workspace, Needs::DEMO)?;
    let pass = build::pass(workspace, &ready)?;

    let interrupt = Interrupt::catch()?;
    netns::reap(network::KIND)?;
    let stage = Stage { network: DemoNetwork::build()?, xstun: workspace.xstun("release"), pass, interrupt };
    let mut results = Vec::new();
    let mut faults = Vec::new();
    for tier in &TIERS {
        let (load, found) = stage.show(tier)?;
        results.push((tier.name, load));
        faults.extend(found);
    }
    println!("\ntier             under as many requests as the client can send for {LOAD_SECONDS} s");
    for (name, load) in results {
        println!("{name:<16} {}", load.map_or("-".to_owned(), |load| load.to_string()));
    }
    if faults.is_empty() {
        println!("\nall results are as expected");
        return Ok(());
    }
    bail!("results differ from what is expected:\n  {}", faults.join("\n  "))
}

/// What all tiers are shown with.
struct Stage {
    network: DemoNetwork,
    xstun: PathBuf,
    /// The program for the client's end.
    pass: PathBuf,
    interrupt: Interrupt,
}

impl Stage {
    /// Serves by one tier, queries, loads, and returns what the load gave, and the faults.
    ///
    /// # Errors
    /// The server cannot be started or stopped, or the verb was interrupted.
    fn show(&self, tier: &Tier) -> Result<(Option<LoadResult>, Vec<String>)> {
        let Stage { network, xstun, pass, interrupt } = self;
        println!("\n--- {} ---", tier.name);
        let server = DemoServer::start(network, xstun, tier.flags, interrupt)?;
        println!("\n{}", server.table());

        let attached = tier.in_kernel.then(|| network.attach_pass(pass)).transpose()?;
        let mut faults = query(network, xstun, interrupt)?;
        // The load has a program of its own there.
        drop(attached);
        let load = match clients::load(network, xstun, LOAD_SECONDS, interrupt) {
            Ok(load) => Some(load),
            Err(error) => {
                faults.push(format!("{}: load: {error:#}", tier.name));
                None
            }
        };
        interrupt.check()?;

        let counters = server.stop(interrupt)?;
        println!("counted: {counters}");
        faults.extend(tier.faults(&counters));
        Ok((load, faults))
    }
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
