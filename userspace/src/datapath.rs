//! Everything that serves: for each interface the highest rung of the ladder that is available, and the
//! sockets below all of them.

#[cfg(feature = "af-xdp")]
pub mod af_xdp;
#[cfg(not(feature = "af-xdp"))]
#[path = "datapath/af_xdp/absent.rs"]
pub mod af_xdp;
pub(crate) mod cores;
pub(crate) mod drivers;
mod endpoints;
mod inheritance;
mod ladder;
pub mod socket;
mod step_down;

pub use cores::available as available_cores;
pub use inheritance::Inheritance;
pub(crate) use inheritance::InheritedLink;
pub(crate) use ladder::InterfacePath;
pub(crate) use step_down::{AF_XDP_BUILT, StepDown};

use crate::config::{Config, KernelAnswersArg, LiveConfig};
use crate::error::{Failure, Result};
use crate::interface;
use af_xdp::{AfXdp, AnswerDecision, TakenOverLink};
use arc_swap::ArcSwap;
use ladder::StartContext;
use socket::stream::{BoundListeners, StreamService};
use socket::{BoundSockets, SocketService};
use std::sync::Arc;
use xstun_core::stun::Policy;

/// Whether this binary can serve over AF_XDP at all.
pub fn ebpf_object_present() -> bool {
    af_xdp::object_present()
}

/// Everything that serves. Dropping it takes all of it down.
pub(crate) struct Datapath {
    /// The interfaces, in the order of the flags. Before the sockets, so that they are dropped first: the
    /// sockets receive what a detached program passes.
    pub(crate) interfaces: Vec<InterfacePath>,
    /// The UDP sockets, which always listen.
    pub(crate) sockets: SocketService,
    /// TCP and TLS.
    pub(crate) streams: StreamService,
    policy: Arc<ArcSwap<Policy>>,
    config: Config,
    /// The last refresh failed.
    needs_refresh: bool,
}

/// The server that runs already, and that the new one takes over from.
pub(crate) struct Predecessor<'a> {
    /// The descriptors that it hands over.
    pub(crate) inheritance: Inheritance,
    /// Makes it close its queues of the interface with this index, on which our program already runs.
    pub(crate) release: &'a mut dyn FnMut(u32) -> Result<()>,
}

/// Another configuration for a running [`Datapath`]. Everything about it that can fail is done.
pub(crate) struct PreparedChange {
    live: LiveConfig,
    policy: Policy,
    sockets: BoundSockets,
    streams: BoundListeners,
}

impl Datapath {
    /// Binds the sockets, or takes them over from `predecessor`, then takes each interface as high on the
    /// ladder as it goes.
    ///
    /// # Errors
    /// A message for the operator; nothing is left attached, bound or changed.
    pub(crate) fn start(config: Config, policy: Policy, predecessor: Predecessor<'_>) -> Result<Self> {
        let Predecessor { mut inheritance, release } = predecessor;
        // Names are checked before anything is touched.
        let interfaces =
            config.fixed.interfaces.iter().map(|name| interface::find(name)).collect::<Result<Vec<_>>>()?;
        let host = interface::addresses(None)?;
        config.live.check_on_host(host.iter().map(|address| address.ip))?;
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let Config { fixed, live } = &config;
        let sockets =
            SocketService::start(&live.listen, &fixed.cores, Arc::clone(&policy), &mut inheritance)?;
        let streams = StreamService::start(&live.listen, &live.stream, &policy, &mut inheritance)?;
        let mut datapath =
            Datapath { interfaces: Vec::new(), sockets, streams, policy, config, needs_refresh: false };
        let mut first_core = 0;
        for interface in interfaces {
            let context = StartContext { config: &datapath.config, host: &host, policy: &datapath.policy };
            let taken_over = inheritance
                .take_link(interface.index)
                .map(|link| TakenOverLink { link, release: &mut *release });
            let path = InterfacePath::start(interface, &context, first_core, taken_over)?;
            first_core += path.af_xdp.iter().flat_map(AfXdp::queues).count();
            datapath.interfaces.push(path);
        }
        Ok(datapath)
    }

    /// Adapts the AF_XDP paths to the host's current addresses. The sockets follow these by themselves.
    ///
    /// # Errors
    /// The kernel did not list the addresses, or refused a map update of an interface: the first such failure. The
    /// other interfaces are adapted, what was served before still is, and [`Datapath::repair`] tries again.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let refreshed = self.try_refresh();
        self.needs_refresh = refreshed.is_err();
        refreshed
    }

    /// Tries again what an earlier update of the AF_XDP paths could not do. Call it regularly.
    ///
    /// # Errors
    /// As of [`Datapath::refresh`].
    pub(crate) fn repair(&mut self) -> Result<()> {
        if self.needs_refresh || self.over_af_xdp().any(|af_xdp| af_xdp.is_incomplete()) {
            return self.refresh();
        }
        Ok(())
    }

    fn try_refresh(&mut self) -> Result<()> {
        if self.interfaces.iter().all(|path| path.af_xdp.is_none()) {
            return Ok(());
        }
        let host = interface::addresses(None)?;
        let interfaces = interface::all()?;
        let listen = &self.config.live.listen;
        let update = |path: &mut InterfacePath| {
            let Some(af_xdp) = &mut path.af_xdp else { return Ok(()) };
            let index = af_xdp.interface().index;
            // An interface that was removed serves nobody; its workers end by themselves.
            let Some(interface) = interfaces.iter().find(|found| found.index == index) else { return Ok(()) };
            let served = endpoints::served(interface, listen, &host);
            af_xdp.update(interface.clone(), served)
        };
        // Each is updated, whatever happens to the others.
        self.interfaces.iter_mut().map(update).fold(Ok(()), Result::and)
    }

    /// Prepares to serve `live` with `policy` instead: binds what is new, reads the certificate, and withdraws the
    /// kernel answers that these do not allow. Until [`Datapath::adopt`] the workers give them.
    ///
    /// # Errors
    /// An address cannot be bound, the certificate cannot be used, or kernel answers are not available or cannot be
    /// withdrawn; nothing is changed.
    pub(crate) fn prepare(&mut self, live: LiveConfig, policy: Policy) -> Result<PreparedChange> {
        live.check_on_host(interface::addresses(None)?.iter().map(|address| address.ip))?;
        let sockets = self.sockets.bind(&live.listen)?;
        let streams = self.streams.bind(&live.listen, &live.stream)?;
        self.prepare_answers(live.kernel_answers, &policy)?;
        Ok(PreparedChange { live, policy, sockets, streams })
    }

    fn prepare_answers(&mut self, wanted: KernelAnswersArg, policy: &Policy) -> Result<()> {
        let prepare = |path: &mut InterfacePath| match &mut path.af_xdp {
            Some(af_xdp) => af_xdp.prepare_answers(wanted, policy),
            None if wanted == KernelAnswersArg::On => {
                Err(af_xdp::no_kernel_answers(&path.name, "the sockets serve it since the start"))
            }
            None => Ok(()),
        };
        let prepared = self.interfaces.iter_mut().try_for_each(prepare);
        if prepared.is_err() {
            self.over_af_xdp().for_each(AfXdp::restore_answers);
        }
        prepared
    }

    fn over_af_xdp(&mut self) -> impl Iterator<Item = &mut AfXdp> {
        self.interfaces.iter_mut().filter_map(|path| path.af_xdp.as_mut())
    }

    /// Serves a prepared configuration from now on. Addresses that are no longer configured are served too,
    /// until [`Datapath::quiesce`] and [`Datapath::retire`].
    ///
    /// # Errors
    /// The kernel refused a part of it; the rest is in force.
    pub(crate) fn adopt(&mut self, change: PreparedChange) -> Result<()> {
        let PreparedChange { live, policy, sockets, streams } = change;
        self.sockets.add(sockets);
        let added = self.streams.add(streams, &live.stream);
        self.policy.store(Arc::new(policy));
        self.over_af_xdp().for_each(|af_xdp| af_xdp.adopt_answers(live.kernel_answers));
        self.config.live = live;
        self.refresh().and(added)
    }

    /// Whether the XDP program of each interface answers plain requests, and why, by the interface's name.
    pub(crate) fn kernel_answers(&self) -> Vec<(String, AnswerDecision)> {
        let of = |path: &InterfacePath| Some((path.name.clone(), path.af_xdp.as_ref()?.kernel_answers()));
        self.interfaces.iter().filter_map(of).collect()
    }

    /// Stops new datagrams and connections from reaching addresses that are no longer configured. Call it
    /// some time after [`Datapath::adopt`], when what was in flight to them has arrived. Returns false if
    /// there are no such addresses: then nothing is left to do.
    pub(crate) fn quiesce(&self) -> bool {
        let LiveConfig { listen, stream, .. } = &self.config.live;
        // `|`, not `||`: both must run.
        self.sockets.quiesce(listen) | self.streams.quiesce(listen, stream)
    }

    /// Closes the sockets of those addresses. Call it after [`Datapath::quiesce`] and the time that a
    /// datagram in the kernel and a handshake in progress need.
    pub(crate) fn retire(&mut self) {
        // Listeners first: a client that connects again must find them closed.
        self.streams.retain(&self.config.live.listen, &self.config.live.stream);
        self.sockets.retain(&self.config.live.listen);
    }

    /// Duplicates the descriptors of everything that this server serves with, for its successor.
    ///
    /// # Errors
    /// No file descriptor is available.
    pub(crate) fn duplicate(&self) -> Result<Inheritance> {
        let failed = |error| Failure::system("cannot duplicate a file descriptor").because(error);
        let udp = self.sockets.duplicate().map_err(failed)?;
        let listeners = self.streams.duplicate().map_err(failed)?;
        let mut links = Vec::new();
        for af_xdp in self.interfaces.iter().filter_map(|path| path.af_xdp.as_ref()) {
            links.extend(af_xdp.duplicate_link()?);
        }
        Ok(Inheritance { udp, listeners, links })
    }

    /// Closes the queues of the interface with this index; see [`AfXdp::close_queues`].
    pub(crate) fn close_queues(&mut self, index: u32) {
        for af_xdp in self.over_af_xdp() {
            if af_xdp.interface().index == index {
                af_xdp.close_queues();
            }
        }
    }

    /// Takes serving back after a successor began to take over and ended.
    ///
    /// # Errors
    /// An XDP program could not be restored: the frames of its interface pass to the sockets.
    pub(crate) fn restore(&mut self) -> Result<()> {
        self.over_af_xdp().try_for_each(AfXdp::restore)
    }

    /// Leaves all datagrams and new connections to the successor. Open connections stay.
    pub(crate) fn hand_over(&mut self) {
        self.sockets.stop();
        self.streams.close();
    }

    /// Returns why the server cannot go on, if a thread without which an address is not served has ended.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        self.sockets.failure().or_else(|| self.streams.failure())
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }
}
