//! `cargo xtask setup`: makes the machine ready, or names what a person must do.

mod facts;
mod pieces;
mod plan;
mod steps;

pub(crate) use facts::{Facts, RustToolchain, command_exists};
pub(crate) use pieces::Needs;

use crate::bpf::Compiler;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use plan::{Get, Missing, Step};

/// What set-up leaves to those that go on.
pub(crate) struct Ready {
    /// The compiler of the eBPF object, where one was asked for.
    pub(crate) compiler: Option<Compiler>,
}

/// Installs what is missing for `needs`, says what and why, and never asks.
///
/// # Errors
/// A piece is missing that cannot be installed here (each is named with the command that gets it),
/// or a step failed.
pub(crate) fn run(workspace: &Workspace, needs: Needs) -> Result<Ready> {
    let mut updated = false;
    let mut done: Vec<Step> = Vec::new();
    loop {
        let mut facts = facts::gather(workspace, needs, updated)?;
        let mut plan = plan::plan(&facts, needs);
        if plan.wants_something() {
            facts.ask_apt()?;
            plan = plan::plan(&facts, needs);
        }
        if !plan.missing.is_empty() {
            bail!("{}", told(&facts, &plan.missing));
        }
        if plan.steps.is_empty() {
            let compiler = plan.compiler.as_ref();
            let with = compiler.map_or(String::new(), |compiler| format!("; eBPF compiler: {compiler}"));
            println!("set-up: {}{with}", if done.is_empty() { "all there" } else { "done" });
            return Ok(Ready { compiler: plan.compiler });
        }
        if let Some(step) = plan.steps.iter().find(|step| done.contains(step)) {
            bail!("set-up did not help: {step:?} was carried out, and is still wanted");
        }
        for step in plan.steps {
            println!("set-up: {}", steps::describe(&step));
            steps::carry_out(&step, workspace, &facts)?;
            updated |= matches!(step, Step::AptUpdate | Step::LlvmRepository { .. });
            done.push(step);
        }
    }
}

/// What is missing, why it is wanted, and the commands that get it.
fn told(facts: &Facts, missing: &[Missing]) -> String {
    let mut text = format!("this machine ({}) lacks:", facts.system);
    for Missing { what, why, .. } in missing {
        text.push_str(&format!("\n  {what}: {why}"));
    }
    let packages = |pick: fn(&Get) -> Option<&str>| {
        missing.iter().filter_map(|missing| pick(&missing.get)).collect::<Vec<_>>().join(" ")
    };
    let apt = packages(|get| if let Get::Apt(package) = get { Some(package) } else { None });
    let dnf = packages(|get| if let Get::Dnf(package) = get { Some(package) } else { None });
    text.push_str("\nget it with:");
    if !apt.is_empty() {
        let update = if facts.candidates.is_empty() { "sudo apt-get update && " } else { "" };
        text.push_str(&format!("\n  {update}sudo apt-get install --no-install-recommends {apt}"));
    }
    if !dnf.is_empty() {
        text.push_str(&format!("\n  sudo dnf install {dnf}"));
    }
    for missing in missing {
        if let Get::By(how) = &missing.get {
            text.push_str(&format!("\n  {how}"));
        }
    }
    text
}
