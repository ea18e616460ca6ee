//! Starts the generator: checks the interface, attaches the XDP program, starts the workers.

use super::frame::{FrameAddresses, FrameTemplates};
use super::worker::{FlowIndex, LoadQueue, XdpLoadPlan, XdpLoadWorker};
use crate::cli::LoadArgs;
use crate::client::load::flows;
use crate::client::load::plan::{LoadFlow, LoadPlan};
use crate::client::load::pool::{LoadStep, WorkerPool};
use crate::client::load::shape::{RequestShape, RequestTemplate, ShapeMix};
use crate::client::message::fill_random;
use crate::config;
use crate::datapath::af_xdp::bind::{QueuePlan, bind};
use crate::datapath::af_xdp::frame_queue::FrameQueue;
use crate::datapath::af_xdp::program::XdpProgram;
use crate::datapath::af_xdp::{attach, bind_modes};
use crate::datapath::available_cores;
use crate::datapath::cores::pin;
use crate::error::{Failure, Result};
use crate::interface::{self, Interface};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;
use xstun_core::rings::BATCH;
use xstun_core::served::Served;
use xstun_ebpf::MAX_ENDPOINTS;

/// How often an ordinary socket sends a request before the server counts as silent.
const TRIES: u32 = 5;
/// How long each of them waits.
const REPLY_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

/// The XDP program on the interface, and the reserved ports. Dropping it restores the interface; close
/// the workers' sockets only afterwards.
pub(in crate::client::load) struct LoadAttachment {
    program: XdpProgram,
    queues: u32,
    /// Keep the ports reserved during the load.
    _ports: Vec<UdpSocket>,
}

impl Drop for LoadAttachment {
    fn drop(&mut self) {
        (0..self.queues).for_each(|queue| self.program.remove_socket(queue));
        self.program.detach();
    }
}

/// How the queues of the interface are divided among cores.
struct Layout {
    /// Receive queues, each of which gets a socket.
    queues: u32,
    /// Queues that send: the first ones.
    sending: u32,
    /// The cores, one for each worker.
    cores: Vec<usize>,
}

/// Prepares a load of `server` over the interface `name`. Returns `None` if the server does not answer an
/// ordinary socket.
///
/// # Errors
/// Usage: the interface, a source, the queues or the cores are unsuitable. System: there is no route, or
/// the kernel refuses the XDP program or a socket.
pub(in crate::client::load) fn start(
    args: &LoadArgs,
    name: &str,
    server: SocketAddr,
    mix: ShapeMix,
) -> Result<Option<(Arc<LoadPlan>, LoadAttachment, WorkerPool)>> {
    let interface = interface::find(name)?;
    check_suitable(&interface)?;
    let layout = Layout::new(args, &interface)?;
    let route = interface::route(server.ip(), &interface)?;
    if route.local {
        return Err(Failure::usage(format!(
            "{server} is this host itself, so no frame leaves for it over {name}"
        ))
        .remedy("omit --interface, or load from another host or network namespace"));
    }
    let flows = flows::open(server, &sources(args, &interface, route.source)?, args.ports.get())?;
    if flows.len() > MAX_ENDPOINTS as usize {
        return Err(Failure::usage(format!(
            "--ports {} on each source makes {} endpoints, but the XDP program holds {MAX_ENDPOINTS}",
            args.ports,
            flows.len()
        )));
    }
    if !answers(&flows)? {
        return Ok(None);
    }
    let next_hop = interface::neighbour(route.next_hop, &interface)?.ok_or_else(|| {
        Failure::system(format!("{} has no hardware address on {name} (--interface)", route.next_hop))
            .remedy(format!("find the interface towards it with `ip route get {}`", server.ip()))
    })?;

    let workers = layout.cores.len();
    let plan = LoadPlan::new(server, flows.iter().map(|(flow, _)| *flow), mix, workers)?;
    let addresses = FrameAddresses { own_mac: interface.mac, next_hop, server };
    let endpoints = plan.flows.iter().map(|flow| (flow.source.ip(), flow.source.port()));
    let shared = Arc::new(XdpLoadPlan {
        frames: FrameTemplates::new(&addresses, &plan.flows, &plan.mix)?,
        served: Served::new(interface.mac, endpoints, []),
        flows: FlowIndex::new(plan.flows.iter().map(|flow| flow.source)),
        plan: Arc::clone(&plan),
    });
    let ports = flows.into_iter().map(|(_, socket)| socket).collect();
    let (attachment, pool) = launch(args, &interface, &layout, &shared, ports)?;
    Ok(Some((plan, attachment, pool)))
}

/// Attaches the XDP program and starts the workers.
fn launch(
    args: &LoadArgs,
    interface: &Interface,
    layout: &Layout,
    shared: &Arc<XdpLoadPlan>,
    ports: Vec<UdpSocket>,
) -> Result<(LoadAttachment, WorkerPool)> {
    let mut program = XdpProgram::load(layout.queues, false)?;
    let mode = attach(&mut program, interface, args.xdp_mode, &mut Vec::new()).map_err(with_remedy)?;
    let (modes, _) = bind_modes(interface, mode, args.bind_mode, false)?;
    program.serve(&shared.served)?;
    let mut pool = WorkerPool::new(Arc::clone(&shared.plan));
    // Declared after the pool, and so dropped before it if a worker fails below.
    let mut attachment = LoadAttachment { program, queues: layout.queues, _ports: ports };
    for index in 0..layout.cores.len() {
        let queues = layout.queues_of(index);
        let (name, core) = (interface.name.clone(), layout.cores[index]);
        let target = QueuePlan {
            interface: name,
            number: 0,
            core,
            modes: modes.clone(),
            busy_poll: false,
            vacated: false,
        };
        let sending = layout.sending;
        let senders = layout.senders();
        let shared = Arc::clone(shared);
        let sockets = pool.spawn(move || {
            let (sockets, queues) = bind_queues(&target, &queues, sending)?;
            let mut worker = XdpLoadWorker::new(shared, index, senders, queues);
            Ok((sockets, move |step: &LoadStep| worker.step(step)))
        })?;
        for (queue, socket) in sockets {
            attachment.program.enter_socket(queue, socket)?;
        }
    }
    Ok((attachment, pool))
}

impl Layout {
    /// Divides the queues of the interface among the cores that `--cores` names, by default all available
    /// ones.
    ///
    /// # Errors
    /// Usage: `--queues` exceeds the queues of the interface, or `--cores` is invalid.
    fn new(args: &LoadArgs, interface: &Interface) -> Result<Self> {
        let name = &interface.name;
        let queues = interface::receive_queues(interface);
        let sending = args.queues.map_or(queues, |sending| sending.get());
        if sending > queues {
            return Err(Failure::usage(format!("--queues {sending}: {name} has {queues}")).remedy(format!(
                "name fewer, or add queues with `ethtool -L {name} combined {sending}` if the NIC has them"
            )));
        }
        let available = available_cores()?;
        let mut cores = match args.cores.as_deref() {
            Some(list) => config::cores(list, &available)?,
            None => available,
        };
        cores.truncate(queues as usize);
        Ok(Layout { queues, sending, cores })
    }

    /// How many workers send: the first ones.
    fn senders(&self) -> usize {
        self.cores.len().min(self.sending as usize)
    }

    /// The queues of worker `index`.
    fn queues_of(&self, index: usize) -> Vec<u32> {
        (index as u32..self.queues).step_by(self.cores.len()).collect()
    }
}

/// A queue number and the socket bound to that queue.
type NumberedSocket = (u32, RawFd);

/// Pins the calling worker's thread and binds its queues. Returns the sockets by queue number, and the
/// queues.
fn bind_queues(
    target: &QueuePlan,
    numbers: &[u32],
    sending: u32,
) -> Result<(Vec<NumberedSocket>, Vec<LoadQueue>)> {
    pin(target.core)?;
    let (mut sockets, mut queues) = (Vec::new(), Vec::new());
    for &number in numbers {
        let (socket, _, _) = bind(&QueuePlan { number, ..target.clone() })?;
        // Kernels without this option (before 6.18) transmit 32 frames per call.
        let _ = socket.set_transmit_budget(BATCH as u32);
        sockets.push((number, socket.as_raw_fd()));
        queues.push(LoadQueue { frames: FrameQueue::new(socket), sends: number < sending });
    }
    Ok((sockets, queues))
}

/// Rejects an interface over which no load is possible.
fn check_suitable(interface: &Interface) -> Result<()> {
    let name = &interface.name;
    if interface.loopback || !interface.ethernet {
        return Err(Failure::usage(format!("--interface {name} is not an Ethernet interface"))
            .remedy("omit --interface to load over sockets"));
    }
    if let Some(other) = &interface.xdp {
        return Err(Failure::system(format!(
            "{name} already has an XDP program (id {}, {}), which --interface {name} would replace",
            other.program_id,
            other.mode.name()
        ))
        .remedy(format!(
            "detach it (`ip link set dev {name} xdp off`), or omit --interface to load over sockets"
        )));
    }
    Ok(())
}

/// Returns the source addresses: those of `--source`, each of which must be an address of the interface,
/// or the address that the route prefers.
fn sources(args: &LoadArgs, interface: &Interface, preferred: Option<IpAddr>) -> Result<Vec<IpAddr>> {
    let own = interface::addresses(Some(interface.index))?;
    match args.sources.iter().find(|source| !own.iter().any(|address| address.ip == **source)) {
        Some(source) => {
            Err(Failure::usage(format!("--source {source} is not an address of {}", interface.name)).remedy(
                format!(
                    "name one of its addresses, or add it: `ip address add {source} dev {}`",
                    interface.name
                ),
            ))
        }
        None if args.sources.is_empty() => Ok(preferred.into_iter().collect()),
        None => Ok(args.sources.clone()),
    }
}

/// Whether the server answers an ordinary socket. The request also makes the kernel resolve the next hop's
/// hardware address.
fn answers(flows: &[(LoadFlow, UdpSocket)]) -> Result<bool> {
    let Some((_, socket)) = flows.first() else { return Ok(false) };
    let mut id = [0; 12];
    fill_random(&mut id)?;
    let mut request = [0; 32];
    let length = RequestTemplate::new(RequestShape::Bare).write(&mut request, &id);
    for _ in 0..TRIES {
        // An ICMP error for an earlier request may show here. The next one may succeed.
        let _ = socket.send(&request[..length]);
        let mut polled = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut polled, Some(&REPLY_WAIT)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Failure::system("cannot wait for a reply").because(errno)),
        }
        let mut reply = [0; 2048];
        if let Ok(length) = socket.recv(&mut reply)
            && reply[..length].get(8..20) == Some(&id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds what to do if the program cannot be attached.
fn with_remedy(failure: Failure) -> Failure {
    let remedy = match failure.errno() {
        Some(libc::EPERM | libc::EACCES) => {
            "run as root, or grant CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON and CAP_NET_RAW, or omit --interface to load over \
             sockets"
        }
        Some(libc::ENOTCONN) => "bring the other end of the veth pair up first",
        _ => "try --xdp-mode generic, or omit --interface to load over sockets",
    };
    failure.remedy(remedy)
}
