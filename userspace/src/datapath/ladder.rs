//! Takes one interface as high on the ladder as it goes: AF_XDP, or else the sockets.

use super::af_xdp::{AfXdp, AfXdpRequest, TakenOverLink, no_kernel_answers, pinned_kernel_answers};
use super::endpoints;
use super::step_down::{StepDown, must_not_step_down};
use crate::config::{Config, DatapathArg, KernelAnswersArg};
use crate::error::{Failure, Result};
use crate::interface::{self, Address, Interface};
use arc_swap::ArcSwap;
use std::sync::Arc;
use xstun_core::stun::Policy;

/// An interface named by `--interface`, and the rung that it is on.
pub(crate) struct InterfacePath {
    /// Its name, as given.
    pub(crate) name: String,
    /// Receive queues that it had at the start, served over AF_XDP or not.
    pub(crate) receive_queues: u32,
    /// Its AF_XDP path; `None` if the sockets serve it.
    pub(crate) af_xdp: Option<AfXdp>,
    /// The steps down on the way to the sockets; empty if an AF_XDP path exists, which lists its own.
    pub(crate) stepped_down: Vec<StepDown>,
}

/// What every interface of one server is started with.
pub(super) struct StartContext<'a> {
    pub(super) config: &'a Config,
    /// Every address of the host.
    pub(super) host: &'a [Address],
    pub(super) policy: &'a Arc<ArcSwap<Policy>>,
}

impl InterfacePath {
    /// Starts AF_XDP on `interface` where that is wanted and possible. The queues begin at the
    /// `first_core`-th of the configured cores.
    ///
    /// # Errors
    /// AF_XDP is not available, and stepping down would hide what the operator asked for.
    pub(super) fn start(
        interface: Interface,
        context: &StartContext<'_>,
        first_core: usize,
        taken_over: Option<TakenOverLink<'_>>,
    ) -> Result<Self> {
        let config = &context.config.fixed;
        let kernel_answers = context.config.live.kernel_answers;
        let mut path = InterfacePath {
            name: interface.name.clone(),
            receive_queues: interface::receive_queues(&interface),
            af_xdp: None,
            stepped_down: Vec::new(),
        };
        if config.datapath == DatapathArg::Socket {
            return Ok(path);
        }
        if let Some(why) = never_over_xdp(&interface) {
            let failure = Failure::system(format!("{} cannot be served over AF_XDP: {why}", path.name))
                .of("--datapath");
            if config.datapath == DatapathArg::AfXdp {
                return Err(failure.remedy("use --datapath auto or socket"));
            }
            if kernel_answers == KernelAnswersArg::On {
                return Err(no_kernel_answers(&path.name, why));
            }
            path.stepped_down.push(StepDown::new("af-xdp", &failure));
            return Ok(path);
        }
        let mut cores = config.cores.clone();
        cores.rotate_left(first_core % config.cores.len());
        let served = endpoints::served(&interface, &context.config.live.listen, context.host);
        let policy = Arc::clone(context.policy);
        let request = AfXdpRequest { config, served, kernel_answers, policy, cores: &cores };
        match AfXdp::start(interface, &request, taken_over) {
            Ok(af_xdp) => path.af_xdp = Some(af_xdp),
            Err(failure) if kernel_answers == KernelAnswersArg::On => {
                return Err(pinned_kernel_answers(&path.name, failure));
            }
            Err(failure) if must_not_step_down(config, &failure) => return Err(failure),
            Err(failure) => path.stepped_down.push(StepDown::new("af-xdp", &failure)),
        }
        Ok(path)
    }
}

/// Why an interface can never be served over AF_XDP, whatever the kernel says.
fn never_over_xdp(interface: &Interface) -> Option<&'static str> {
    if interface.loopback {
        // A loopback source is never answered in a frame, so nothing would be.
        Some("loopback traffic is served by the sockets")
    } else if !interface.ethernet {
        Some("its frames have no Ethernet header")
    } else {
        None
    }
}
