//! Brings an interface up over AF_XDP.

use super::AfXdp;
use super::answers::KernelAnswers;
use super::bind::QueuePlan;
use super::ended::EndedQueues;
use super::fallback::{self, attach, bind_modes};
use super::program::XdpProgram;
use super::queue::QueueThread;
use super::request::{AfXdpRequest, TakenOverLink};
use super::solicitation;
use crate::config::FixedConfig;
use crate::datapath::step_down::{StepDown, is_denied, must_not_step_down};
use crate::error::{Failure, Result};
use crate::interface::{self, Interface, NapiSettings};
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;

impl AfXdp {
    /// Takes `interface` as high on the ladder as it goes: native before generic, zero-copy before copy,
    /// and every queue that can be bound.
    ///
    /// # Errors
    /// Nothing is available, or not what a flag pins, or there are fewer queues than asked for. Nothing is
    /// left attached or changed.
    pub(crate) fn start(
        interface: Interface,
        request: &AfXdpRequest<'_>,
        taken_over: Option<TakenOverLink<'_>>,
    ) -> Result<Self> {
        let config = request.config;
        let available = interface::receive_queues(&interface);
        let queues = wanted_queues(&interface, config, available)?;
        if taken_over.is_none() {
            refuse_other_program(&interface)?;
        }
        let mut step_downs = Vec::new();
        let mut answers = KernelAnswers::new(request.kernel_answers);
        let mut program = load(&interface, available, config, &mut answers, &mut step_downs)?;
        // Before the bind, which may stop them from being heard.
        let solicitations = solicitation::to_reachable(&interface)?;
        let uncounted_losses = program.count_losses().err();
        // Before it runs: while its map of sockets is empty it passes everything, and a program that
        // replaces the predecessor's must know the endpoints at once. It answers nothing before the workers can.
        program.serve(&request.served)?;
        let mut predecessor = None;
        let mode = match taken_over {
            None => attach(&mut program, &interface, config.xdp_mode, &mut step_downs)
                .map_err(|failure| fallback::explain(failure, &interface))?,
            Some(TakenOverLink { link, release }) => {
                let mode = fallback::inherited_mode(&link, config.xdp_mode)?;
                program.take_over(&interface, mode, link.link)?;
                predecessor = Some((link.napi, release));
                mode
            }
        };
        note_refusal(&interface, &mut program, &mut answers, &mut step_downs)?;
        let mut path = AfXdp {
            interface,
            program,
            mode,
            served: Arc::new(ArcSwap::from_pointee(request.served.clone())),
            policy: Arc::clone(&request.policy),
            answers,
            busy_poll: config.busy_poll,
            queues: Vec::new(),
            ended: EndedQueues::default(),
            down: false,
            napi: None,
            step_downs,
            solicitations,
            uncounted_losses,
        };
        let vacated = predecessor.is_some();
        if let Some((napi, release)) = predecessor {
            release(path.interface.index)?;
            // Until then the predecessor restores the settings, since it may still be polling.
            path.napi = napi;
        }
        path.prepare_busy_poll(config)?;
        path.bind(queues, request, vacated)?;
        path.enter_sockets()?;
        path.begin_answers(config)?;
        Ok(path)
    }

    /// Defers the NIC's interrupts for `--busy-poll`, and keeps the settings to restore. Without the flag,
    /// restores at once what the predecessor changed, while this thread still may: it gives that
    /// capability up later.
    fn prepare_busy_poll(&mut self, config: &FixedConfig) -> Result<()> {
        if !config.busy_poll {
            self.restore_napi();
            return Ok(());
        }
        let before = match self.napi {
            Some(before) => before,
            None => NapiSettings::read(&self.interface)?,
        };
        self.napi = Some(before);
        before.for_busy_polling().write(&self.interface)
    }

    /// Binds a socket and starts a worker for each of the first `queues` queues. `vacated`: the
    /// predecessor has just closed its sockets of these.
    fn bind(&mut self, queues: u32, request: &AfXdpRequest<'_>, vacated: bool) -> Result<()> {
        let busy_poll = request.config.busy_poll;
        let (modes, zero_copy) = bind_modes(&self.interface, self.mode, request.config.bind_mode, busy_poll)?;
        self.step_downs.extend(zero_copy);
        for (number, &core) in (0..queues).zip(request.cores.iter().cycle()) {
            let (interface, modes) = (self.interface.name.clone(), modes.clone());
            let plan = QueuePlan { interface, number, core, modes, busy_poll, vacated };
            let (served, policy) = (Arc::clone(&self.served), Arc::clone(&request.policy));
            match QueueThread::start(plan, served, policy, Arc::default()) {
                Ok(queue) => {
                    self.step_downs.extend(queue.step_downs.clone());
                    self.queues.push(queue);
                }
                Err(failure) if must_not_step_down(request.config, &failure) => return Err(failure),
                Err(failure) => self.step_downs.push(StepDown::new(format!("queue {number}"), &failure)),
            }
        }
        if self.queues.is_empty() {
            let reasons: Vec<String> = self.step_downs.iter().map(ToString::to_string).collect();
            return Err(Failure::system(format!("no queue of {} can be served", self.interface.name))
                .because(reasons.join("; ")));
        }
        Ok(())
    }

    /// Enters each socket into the program's map, and lets its worker begin.
    pub(super) fn enter_sockets(&mut self) -> Result<()> {
        for queue in &mut self.queues {
            self.program.enter_socket(queue.number, queue.socket)?;
            queue.begin();
        }
        Ok(())
    }
}

/// Loads the program that can answer, or else the one that redirects everything, which is a step down.
///
/// # Errors
/// The kernel refuses both, or `--kernel-answers on` needs the first.
fn load(
    interface: &Interface,
    queues: u32,
    config: &FixedConfig,
    answers: &mut KernelAnswers,
    step_downs: &mut Vec<StepDown>,
) -> Result<XdpProgram> {
    let mut program = XdpProgram::load_answering(queues, config.xdp_log)
        .map_err(|failure| if is_denied(&failure) { failure.remedy(fallback::GRANT) } else { failure })?;
    note_refusal(interface, &mut program, answers, step_downs)?;
    Ok(program)
}

/// Steps down if the smaller program was loaded or attached instead of the one that can answer.
///
/// # Errors
/// `--kernel-answers on` needs the larger one.
fn note_refusal(
    interface: &Interface,
    program: &mut XdpProgram,
    answers: &mut KernelAnswers,
    step_downs: &mut Vec<StepDown>,
) -> Result<()> {
    let Some(refusal) = program.take_refusal() else { return Ok(()) };
    let reason = refusal.to_string();
    match answers.refused(&interface.name, refusal)? {
        Some(step_down) => {
            tracing::warn!(interface = interface.name, "no kernel answers: {reason}");
            step_downs.push(step_down);
        }
        None => tracing::info!(interface = interface.name, "kernel answers are not available: {reason}"),
    }
    Ok(())
}

/// Returns how many queues to serve: all, or as many as `--queues` says.
///
/// # Errors
/// Usage: the interface has fewer.
fn wanted_queues(interface: &Interface, config: &FixedConfig, available: u32) -> Result<u32> {
    let queues = config.queues.unwrap_or(available);
    if queues <= available {
        return Ok(queues);
    }
    let name = &interface.name;
    let plural = if available == 1 { "" } else { "s" };
    Err(Failure::usage(format!("--queues {queues}: {name} has {available} receive queue{plural}"))
        .of_value("--queues", queues)
        .remedy(format!("`ethtool -L {name} combined {queues}` makes more, where the NIC has them")))
}

/// Refuses an interface that has an XDP program, which ours would displace.
fn refuse_other_program(interface: &Interface) -> Result<()> {
    let Some(other) = &interface.xdp else { return Ok(()) };
    let (name, id) = (&interface.name, other.program_id);
    Err(Failure::system(format!(
        "{name} has an XDP program already (id {id}, {}), and --interface {name} would displace it",
        other.mode.name()
    ))
    .because(io::Error::from_raw_os_error(libc::EBUSY))
    .remedy(format!(
        "detach it (`bpftool prog show id {id}` shows what it is, `ip link set dev {name} xdp off` detaches it), \
         or serve with --datapath socket"
    )))
}
