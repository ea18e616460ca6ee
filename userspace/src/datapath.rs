//! Which path serves, and why: the ladder from AF_XDP down to sockets, climbed for each interface
//! and queue by itself.

#[cfg(feature = "af-xdp")]
pub mod af_xdp;
mod cores;
pub mod drivers;
#[cfg(feature = "af-xdp")]
mod endpoints;
mod inheritance;
pub mod socket;

pub use cores::available as available_cores;
#[cfg(feature = "af-xdp")]
pub(crate) use cores::pin;
pub use inheritance::{Inheritance, InheritedLink};

use crate::config::{BindModeArg, Config, DatapathArg, FixedConfig, LiveConfig, XdpModeArg};
use crate::error::{Failure, Result};
use crate::interface::{self, Address, Interface};
use crate::stun::Policy;
#[cfg(feature = "af-xdp")]
use af_xdp::{AfXdp, Inherited, Request};
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;

/// A rung of the ladder that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepDown {
    /// The rung, or the queue.
    pub from: String,
    /// Why, in the kernel's words where it gave any.
    pub reason: String,
}

impl StepDown {
    /// From a failure's whole sentence.
    pub fn new(from: impl Into<String>, failure: &Failure) -> Self {
        StepDown { from: from.into(), reason: failure.to_string() }
    }
}

impl fmt::Display for StepDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.reason)
    }
}

/// Whether this binary can serve over AF_XDP at all.
pub fn ebpf_object_present() -> bool {
    #[cfg(feature = "af-xdp")]
    return af_xdp::object_present();
    #[cfg(not(feature = "af-xdp"))]
    false
}

/// An interface named by `--interface`, and the rung that it is on.
pub struct InterfacePath {
    /// Its name, as given.
    pub name: String,
    /// Receive queues that it had at the start, served over AF_XDP or not.
    pub receive_queues: u32,
    /// Its AF_XDP path; none if the sockets serve it.
    #[cfg(feature = "af-xdp")]
    pub af_xdp: Option<AfXdp>,
    /// What was stepped down from on the way to the sockets.
    pub stepped_down: Vec<StepDown>,
}

/// Everything that serves. Dropping it takes all of it down.
pub struct Datapath {
    /// The interfaces, in the order of the flags. Before the sockets: they catch what a detached
    /// program passes.
    pub interfaces: Vec<InterfacePath>,
    /// The sockets that always listen beside them.
    pub sockets: socket::Service,
    /// TCP and TLS.
    pub streams: socket::stream::Service,
    policy: Arc<ArcSwap<Policy>>,
    config: Config,
}

/// The server that was here before.
pub struct Predecessor<'a> {
    /// What it hands over.
    pub inheritance: Inheritance,
    /// Has it close its queues of the interface of this index, which our program runs on already.
    pub release: &'a mut dyn FnMut(u32) -> Result<()>,
}

/// Another configuration for a running [`Datapath`], with all that could fail about it done.
pub struct Change {
    live: LiveConfig,
    policy: Policy,
    sockets: socket::Bound,
    streams: socket::stream::Bound,
}

impl Datapath {
    /// Binds the sockets, or takes them over from `before`, then takes each interface as high as it goes.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is left attached, bound or changed.
    pub fn start(config: Config, policy: Policy, before: Predecessor<'_>) -> Result<Self> {
        let Predecessor { mut inheritance, release } = before;
        // Names are checked before anything is touched.
        let interfaces =
            config.fixed.interfaces.iter().map(|name| interface::find(name)).collect::<Result<Vec<_>>>()?;
        let host = interface::addresses(None)?;
        config.live.check_on_host(host.iter().map(|address| address.ip))?;
        let live = &config.live;
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let sockets =
            socket::Service::start(&live.listen, &config.fixed.cores, Arc::clone(&policy), &mut inheritance)?;
        let streams = socket::stream::Service::start(&live.listen, &live.stream, &policy, &mut inheritance)?;
        let mut datapath =
            Datapath { interfaces: Vec::new(), sockets, streams, policy: Arc::clone(&policy), config };
        let mut turn = 0;
        for interface in interfaces {
            let link = inheritance.take_link(interface.index);
            let path = datapath.start_interface(interface, &host, turn, (link, &mut *release))?;
            #[cfg(feature = "af-xdp")]
            if let Some(af_xdp) = &path.af_xdp {
                turn += af_xdp.queues().count();
            }
            datapath.interfaces.push(path);
        }
        // Without AF_XDP no turn is ever taken.
        let _ = &mut turn;
        Ok(datapath)
    }

    #[cfg(feature = "af-xdp")]
    fn start_interface(
        &self,
        interface: Interface,
        host: &[Address],
        turn: usize,
        (link, release): (Option<InheritedLink>, &mut dyn FnMut(u32) -> Result<()>),
    ) -> Result<InterfacePath> {
        let config = &self.config.fixed;
        let name = interface.name.clone();
        let receive_queues = interface::receive_queues(&interface);
        let down = |stepped_down| {
            Ok(InterfacePath { name: name.clone(), receive_queues, af_xdp: None, stepped_down })
        };
        if config.datapath == DatapathArg::Socket {
            return down(Vec::new());
        }
        if let Some(why) = never_over_xdp(&interface) {
            let failure =
                Failure::system(format!("{name} cannot be served over AF_XDP: {why}")).of("--datapath");
            if config.datapath == DatapathArg::AfXdp {
                return Err(failure.remedy("use --datapath auto or socket"));
            }
            return down(vec![StepDown::new("af-xdp", &failure)]);
        }
        let mut cores = config.cores.clone();
        cores.rotate_left(turn % config.cores.len());
        let served = endpoints::served(&interface, &self.config.live.listen, host);
        let request = Request { config, served, policy: Arc::clone(&self.policy), cores: &cores };
        let inherited = link.map(|link| Inherited { link, release });
        match AfXdp::start(interface, &request, inherited) {
            Ok(path) => {
                Ok(InterfacePath { name, receive_queues, af_xdp: Some(path), stepped_down: Vec::new() })
            }
            Err(failure) if must_not_step_down(config, &failure) => Err(failure),
            Err(failure) => down(vec![StepDown::new("af-xdp", &failure)]),
        }
    }

    #[cfg(not(feature = "af-xdp"))]
    fn start_interface(
        &self,
        interface: Interface,
        _host: &[Address],
        _turn: usize,
        _before: (Option<InheritedLink>, &mut dyn FnMut(u32) -> Result<()>),
    ) -> Result<InterfacePath> {
        let failure = Failure::system("this xstun was built without AF_XDP")
            .of("--datapath")
            .remedy("build it with the feature `af-xdp`, or use --datapath socket");
        let stepped_down = match self.config.fixed.datapath {
            DatapathArg::AfXdp => return Err(failure),
            DatapathArg::Auto => vec![StepDown::new("af-xdp", &failure)],
            DatapathArg::Socket => Vec::new(),
        };
        let receive_queues = interface::receive_queues(&interface);
        Ok(InterfacePath { name: interface.name, receive_queues, stepped_down })
    }

    /// Brings what is served to the host's addresses of this moment.
    ///
    /// # Errors
    /// The kernel could not be asked or refused a map update; what was served before still is.
    #[cfg(feature = "af-xdp")]
    pub fn refresh(&mut self) -> Result<()> {
        if self.interfaces.iter().all(|path| path.af_xdp.is_none()) {
            return Ok(());
        }
        let host = interface::addresses(None)?;
        for path in &mut self.interfaces {
            let Some(af_xdp) = &mut path.af_xdp else { continue };
            let index = af_xdp.interface().index;
            // An interface that is gone serves nobody; its workers end by themselves.
            let Some(interface) = interface::all()?.into_iter().find(|found| found.index == index) else {
                continue;
            };
            let served = endpoints::served(&interface, &self.config.live.listen, &host);
            af_xdp.update(interface, served)?;
        }
        Ok(())
    }

    /// Without AF_XDP the sockets follow the host's addresses by themselves.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "af-xdp"))]
    pub fn refresh(&mut self) -> Result<()> {
        Ok(())
    }

    /// Prepares to serve `live` with `policy` instead: binds what is new and reads the certificate.
    ///
    /// # Errors
    /// What cannot be had; nothing is changed.
    pub fn prepare(&self, live: LiveConfig, policy: Policy) -> Result<Change> {
        live.check_on_host(interface::addresses(None)?.iter().map(|address| address.ip))?;
        let sockets = self.sockets.bind(&live.listen)?;
        let streams = self.streams.bind(&live.listen, &live.stream)?;
        Ok(Change { live, policy, sockets, streams })
    }

    /// Serves what is prepared from here on. What is no longer wanted is still served, too: see
    /// [`Datapath::deafen`].
    ///
    /// # Errors
    /// The kernel refused a part of it; the rest is in force.
    pub fn adopt(&mut self, change: Change) -> Result<()> {
        let Change { live, policy, sockets, streams } = change;
        self.sockets.add(sockets);
        let added = self.streams.add(streams, &live.stream);
        self.policy.store(Arc::new(policy));
        self.config.live = live;
        self.refresh().and(added)
    }

    /// Lets nothing more come to addresses that are no longer wanted. To be called some time after they came
    /// out of the XDP program's maps, or others into their place: what was on its way to them has then
    /// arrived. False if there are none: then nothing is left to do.
    pub fn deafen(&self) -> bool {
        let LiveConfig { listen, stream, .. } = &self.config.live;
        // Both, whatever the first says.
        self.sockets.deafen(listen) | self.streams.deafen(listen, stream)
    }

    /// Lets go of those addresses, after [`Datapath::deafen`] and the time that a datagram in the kernel and
    /// a handshake on its way need.
    pub fn retire(&mut self) {
        // Listeners first: who tries again to connect shall find them closed.
        self.streams.retain(&self.config.live.listen, &self.config.live.stream);
        self.sockets.retain(&self.config.live.listen);
    }

    /// Duplicates of all that it serves with, for another process.
    ///
    /// # Errors
    /// No file descriptor was to be had.
    pub fn bequeath(&self) -> Result<Inheritance> {
        let failed = |error| Failure::system("cannot duplicate a file descriptor").because(error);
        let udp = self.sockets.bequeath().map_err(failed)?;
        let listeners = self.streams.bequeath().map_err(failed)?;
        #[cfg_attr(not(feature = "af-xdp"), allow(unused_mut))]
        let mut links = Vec::new();
        #[cfg(feature = "af-xdp")]
        for af_xdp in self.interfaces.iter().filter_map(|path| path.af_xdp.as_ref()) {
            links.extend(af_xdp.bequeath()?);
        }
        Ok(Inheritance { udp, listeners, links })
    }

    /// Closes the queues of the interface of this index; see [`AfXdp::let_go`](af_xdp::AfXdp::let_go).
    pub fn let_go(&mut self, index: u32) {
        #[cfg(feature = "af-xdp")]
        for af_xdp in self.interfaces.iter_mut().filter_map(|path| path.af_xdp.as_mut()) {
            if af_xdp.interface().index == index {
                af_xdp.let_go();
            }
        }
        #[cfg(not(feature = "af-xdp"))]
        let _ = index;
    }

    /// Goes on alone, where another process began to take over and is gone.
    ///
    /// # Errors
    /// An XDP program could not be put back: the frames of its interface pass to the sockets.
    pub fn restore(&mut self) -> Result<()> {
        #[cfg(feature = "af-xdp")]
        for af_xdp in self.interfaces.iter_mut().filter_map(|path| path.af_xdp.as_mut()) {
            af_xdp.restore()?;
        }
        Ok(())
    }

    /// Leaves all datagrams and new connections to another process. Open connections go on.
    pub fn hand_over(&mut self) {
        self.sockets.stop();
        self.streams.close();
    }

    /// Why the server is at an end: a thread without which an address is not served has ended.
    pub fn failure(&mut self) -> Option<Failure> {
        self.sockets.failure().or_else(|| self.streams.failure())
    }

    /// The policy, which all workers follow from their next batch on.
    pub fn policy(&self) -> &ArcSwap<Policy> {
        &self.policy
    }

    /// What it runs on.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Why an interface can never be served over AF_XDP, whatever the kernel says.
#[cfg(feature = "af-xdp")]
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

/// A wish that cannot be granted by stepping down: the rung is pinned, the flags are wrong, a right
/// is missing, or another program would be displaced. Anything else is the machine's own limit.
#[cfg(feature = "af-xdp")]
fn must_not_step_down(config: &FixedConfig, failure: &Failure) -> bool {
    config.datapath == DatapathArg::AfXdp
        || config.xdp_mode == XdpModeArg::Native
        || config.bind_mode == BindModeArg::ZeroCopy
        || config.busy_poll
        || failure.kind() == crate::error::FailureKind::Usage
        || af_xdp::is_denied(failure)
        || failure.errno() == Some(libc::EBUSY)
}
