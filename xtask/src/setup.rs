//! `cargo xtask setup`: installs what this machine lacks, or names what the user must install.

mod apt;
mod facts;
mod packages;
mod plan;
mod services;
mod steps;
mod toolchains;

pub(crate) use packages::Needs;

use crate::bpf::BpfCompiler;
use crate::run::join;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use facts::MachineFacts;
use plan::{SetupPlan, SetupStep};

/// The result of setup.
pub(crate) struct ReadyMachine {
    /// The compiler of the eBPF object, if the needs include one.
    pub(crate) compiler: Option<BpfCompiler>,
}

/// Installs what is missing for `needs`, prints what and why, and never asks.
///
/// # Errors
/// Something is missing that cannot be installed here (each is named with the command that gets it),
/// or a step failed.
pub(crate) fn run(workspace: &Workspace, needs: Needs) -> Result<ReadyMachine> {
    let mut updated = false;
    let mut done: Vec<SetupStep> = Vec::new();
    loop {
        let mut facts = MachineFacts::gather(workspace, needs, updated)?;
        let mut plan = plan::plan(&facts, needs);
        if !plan.is_empty() {
            facts.ask_apt()?;
            plan = plan::plan(&facts, needs);
        }
        if !plan.missing.is_empty() {
            bail!("{}", plan::describe_missing(&facts, &plan.missing));
        }
        if plan.steps.is_empty() {
            let with = plan.compiler.as_ref().map(|compiler| format!("; eBPF compiler: {compiler}"));
            let ended = if done.is_empty() { "nothing is missing" } else { "done" };
            println!("setup: {ended}{}", with.unwrap_or_default());
            return Ok(ReadyMachine { compiler: plan.compiler });
        }
        if let Some(step) = plan.steps.iter().find(|step| done.contains(step)) {
            bail!("setup did not help: {step:?} was carried out and is still needed");
        }
        carry_out(&plan, workspace, &facts)?;
        updated |= plan
            .steps
            .iter()
            .any(|step| matches!(step, SetupStep::AptUpdate | SetupStep::LlvmRepository { .. }));
        done.append(&mut plan.steps);
    }
}

/// Carries out the steps: in their order those that others wait for, then the rest beside each other.
fn carry_out(plan: &SetupPlan, workspace: &Workspace, facts: &MachineFacts) -> Result<()> {
    let carry_out = |step: &SetupStep| {
        println!("setup: {}", steps::describe(step));
        steps::carry_out(step, workspace, facts)
    };
    let (independent, ordered): (Vec<_>, Vec<_>) =
        plan.steps.iter().partition(|step| steps::is_independent(step));
    ordered.into_iter().try_for_each(carry_out)?;
    std::thread::scope(|scope| {
        let running: Vec<_> = independent.into_iter().map(|step| scope.spawn(|| carry_out(step))).collect();
        let ended: Vec<Result<()>> = running.into_iter().map(join).collect();
        ended.into_iter().collect()
    })
}
