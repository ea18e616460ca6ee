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

use crate::config::{self, Config};
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
    config: Config,
    sockets: socket::Bound,
    streams: socket::stream::Bound,
}

impl Datapath {
    /// Binds the sockets, or takes them over from `before`, then takes each interface as high as it goes.
    ///
    /// # Errors
    /// A sentence for the operator; nothing is left attached, bound or changed.
    pub fn start(config: Config, before: Predecessor<'_>) -> Result<Self> {
        let Predecessor { mut inheritance, release } = before;
        // Names are checked before anything is touched.
        let interfaces =
            config.interfaces.iter().map(|name| interface::find(name)).collect::<Result<Vec<_>>>()?;
        let host = interface::addresses(None)?;
        config.check_on_host(host.iter().map(|address| address.ip))?;
        let policy = Arc::new(ArcSwap::from_pointee(config.policy.clone()));
        let sockets =
            socket::Service::start(&config.listen, &config.cores, Arc::clone(&policy), &mut inheritance)?;
        let streams =
            socket::stream::Service::start(&config.listen, &config.stream, &policy, &mut inheritance)?;
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
        let config = &self.config;
        let name = interface.name.clone();
        let receive_queues = interface::receive_queues(&interface);
        let down = |stepped_down| {
            Ok(InterfacePath { name: name.clone(), receive_queues, af_xdp: None, stepped_down })
        };
        if config.datapath == config::Datapath::Socket {
            return down(Vec::new());
        }
        if let Some(why) = never_over_xdp(&interface) {
            let failure = Failure::system(format!("{name} cannot be served over AF_XDP: {why}"));
            if config.datapath == config::Datapath::AfXdp {
                return Err(failure.remedy("use --datapath auto or socket"));
            }
            return down(vec![StepDown::new("af-xdp", &failure)]);
        }
        let mut cores = config.cores.clone();
        cores.rotate_left(turn % config.cores.len());
        let served = endpoints::served(&interface, &config.listen, host);
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
            .remedy("build it with the feature `af-xdp`, or use --datapath socket");
        let stepped_down = match self.config.datapath {
            config::Datapath::AfXdp => return Err(failure),
            config::Datapath::Auto => vec![StepDown::new("af-xdp", &failure)],
            config::Datapath::Socket => Vec::new(),
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
            let served = endpoints::served(&interface, &self.config.listen, &host);
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

    /// Makes ready to serve `config` instead: binds what is new and reads the certificate. What cannot
    /// change under a running server stays as it is.
    ///
    /// # Errors
    /// What cannot be had; nothing is changed.
    pub fn prepare(&self, config: Config) -> Result<Change> {
        let config = config.keeping_what_is_fixed(&self.config);
        config.check_on_host(interface::addresses(None)?.iter().map(|address| address.ip))?;
        let sockets = self.sockets.bind(&config.listen)?;
        let streams = self.streams.bind(&config.listen, &config.stream)?;
        Ok(Change { config, sockets, streams })
    }

    /// Serves what is prepared from here on. What is no longer wanted is still served, too: see
    /// [`Datapath::deafen`].
    ///
    /// # Errors
    /// The kernel refused a part of it; the rest is in force.
    pub fn adopt(&mut self, change: Change) -> Result<()> {
        let Change { config, sockets, streams } = change;
        self.sockets.add(sockets);
        let added = self.streams.add(streams, &config.stream);
        self.policy.store(Arc::new(config.policy.clone()));
        self.config = config;
        self.refresh().and(added)
    }

    /// Lets nothing more come to addresses that are no longer wanted. To be called some time after they came
    /// out of the XDP program's maps, or others into their place: what was on its way to them has then
    /// arrived. False if there are none: then nothing is left to do.
    pub fn deafen(&self) -> bool {
        let Config { listen, stream, .. } = &self.config;
        // Both, whatever the first says.
        self.sockets.deafen(listen) | self.streams.deafen(listen, stream)
    }

    /// Lets go of those addresses, after [`Datapath::deafen`] and the time that a datagram in the kernel and
    /// a handshake on its way need.
    pub fn retire(&mut self) {
        // Listeners first: who tries again to connect shall find them closed.
        self.streams.retain(&self.config.listen, &self.config.stream);
        self.sockets.retain(&self.config.listen);
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
fn must_not_step_down(config: &Config, failure: &Failure) -> bool {
    config.datapath == config::Datapath::AfXdp
        || config.xdp_mode == config::XdpMode::Native
        || config.bind_mode == config::BindMode::ZeroCopy
        || config.busy_poll
        || failure.kind() == crate::error::Kind::Usage
        || af_xdp::is_denied(failure)
        || failure.errno() == Some(libc::EBUSY)
}
