//! The generator over AF_XDP: frames built and sent from this program, replies steered to it by the
//! server's own XDP program, whose "served endpoints" are here the addresses and ports of the load.
//!
//! Replies come back on the queue that the NIC or the other end of a veth pair chooses, not on the one
//! that asked. So every receive queue has a socket, and whichever worker gets a reply judges it.

mod frame;
mod worker;

use super::crew::{Crew, Step};
use super::flows;
use super::plan::{Flow, Plan};
use super::shape::{Mix, Request, Shape};
use crate::cli::LoadArgs;
use crate::config;
use crate::datapath::af_xdp::program::Program;
use crate::datapath::af_xdp::queue::{Place, bind};
use crate::datapath::af_xdp::rings::BATCH;
use crate::datapath::af_xdp::{attach, bind_modes};
use crate::datapath::{available_cores, pin};
use crate::error::{Failure, Result};
use crate::interface::{self, Interface};
use crate::served::Served;
use frame::{Destination, Frames};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;
use worker::{Places, Queue, Shared, Worker};
use xstun_ebpf::MAX_ENDPOINTS;

/// How often the server is asked from an ordinary socket before it counts as mute.
const TRIES: u32 = 5;
/// How long each of them waits.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };

/// The XDP program on the interface, and the ports that are reserved. Dropping it leaves the interface
/// as it was; the workers' sockets are to be closed after that.
pub(super) struct Attachment {
    program: Program,
    queues: u32,
    /// Open as long as the load uses their ports.
    _ports: Vec<UdpSocket>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        (0..self.queues).for_each(|queue| self.program.remove_socket(queue));
        self.program.detach();
    }
}

/// Prepares a load of `server` over the interface `name`. Gives nothing if the server does not answer an
/// ordinary socket.
///
/// # Errors
/// Usage: the interface, a source, the queues or the cores cannot be. The system: no route, no rights,
/// no AF_XDP.
pub(super) fn start(
    args: &LoadArgs,
    name: &str,
    server: SocketAddr,
    mix: Mix,
) -> Result<Option<(Arc<Plan>, Attachment, Crew)>> {
    let interface = interface::find(name)?;
    refuse_unfit(&interface)?;
    let queues = interface::receive_queues(&interface);
    let sending = args.queues.map_or(queues, |wanted| wanted.get());
    if sending > queues {
        return Err(Failure::usage(format!("--queues {sending}: {name} has {queues}"))
            .remedy(format!("`ethtool -L {name} combined {sending}` makes more, where the NIC has them")));
    }
    let available = available_cores()?;
    let cores =
        args.cores.as_deref().map_or(Ok(available.clone()), |list| config::cores(list, &available))?;
    let workers = cores.len().min(queues as usize);
    let senders = workers.min(sending as usize);

    let route = interface::route(server.ip(), &interface)?;
    if route.local {
        return Err(Failure::usage(format!(
            "{server} is this host itself, and no frame leaves for it over {name}"
        ))
        .remedy("leave --interface out, or ask from another host or network namespace"));
    }
    let flows = flows::open(server, &sources(args, &interface, route.source)?, args.ports.get())?;
    if flows.len() > MAX_ENDPOINTS as usize {
        return Err(Failure::usage(format!(
            "--ports {} on each source are {} endpoints, and the XDP program holds {MAX_ENDPOINTS}",
            args.ports,
            flows.len()
        )));
    }
    if !answers(&flows)? {
        return Ok(None);
    }
    let next_hop = interface::neighbour(route.next_hop, &interface)?.ok_or_else(|| {
        Failure::system(format!("{} has no hardware address on {name} (--interface)", route.next_hop))
            .remedy(format!("`ip route get {}` tells over which interface it is reached", server.ip()))
    })?;

    let plan = super::plan(server, &flows, mix, workers)?;
    let to = Destination { own_mac: interface.mac, next_hop, server };
    let endpoints = plan.flows.iter().map(|flow| (flow.source.ip(), flow.source.port()));
    let shared = Arc::new(Shared {
        frames: Frames::new(&to, &plan.flows, &plan.mix)?,
        served: Served::new(interface.mac, endpoints, []),
        places: Places::new(plan.flows.iter().map(|flow| flow.source)),
        plan: Arc::clone(&plan),
    });
    let mut stepped_down = Vec::new();
    let mut program = Program::load(queues, false)?;
    let mode = attach(&mut program, &interface, args.xdp_mode, &mut stepped_down).map_err(explain)?;
    let (modes, _) = bind_modes(&interface, mode, args.bind_mode, false)?;
    program.serve(&shared.served)?;
    let ports = flows.into_iter().map(|(_, socket)| socket).collect();
    let mut crew = Crew::new(Arc::clone(&plan));
    // After the crew, so that a failure below drops it before the crew.
    let mut attachment = Attachment { program, queues, _ports: ports };
    for (turn, &core) in cores.iter().enumerate().take(workers) {
        let numbers: Vec<u32> = (turn as u32..queues).step_by(workers).collect();
        let place = Place {
            interface: name.to_owned(),
            number: 0,
            core,
            modes: modes.clone(),
            busy_poll: false,
            vacated: false,
        };
        let shared = Arc::clone(&shared);
        let sockets = crew.hire(move || {
            let (sockets, mut worker) = prepare(&place, &numbers, sending, turn, senders, shared)?;
            Ok((sockets, move |step: &Step| worker.step(step)))
        })?;
        for (queue, socket) in sockets {
            attachment.program.enter_socket(queue, socket)?;
        }
    }
    Ok(Some((plan, attachment, crew)))
}

/// On the worker's own thread: pins it and binds its queues. Gives the sockets by queue, and the worker.
fn prepare(
    place: &Place,
    numbers: &[u32],
    sending: u32,
    turn: usize,
    senders: usize,
    shared: Arc<Shared>,
) -> Result<(Vec<(u32, RawFd)>, Worker)> {
    pin(place.core)?;
    let (mut sockets, mut queues) = (Vec::new(), Vec::new());
    for &number in numbers {
        let (socket, frames, _, _) = bind(&Place { number, ..place.clone() })?;
        // Older kernels know no such option and transmit 32 frames a call.
        let _ = socket.set_transmit_budget(BATCH as u32);
        sockets.push((number, socket.as_raw_fd()));
        queues.push(Queue::new(socket, frames, number < sending));
    }
    Ok((sockets, Worker::new(shared, turn, senders, queues)))
}

/// Refuses an interface on which this cannot work, whatever the kernel says.
fn refuse_unfit(interface: &Interface) -> Result<()> {
    let name = &interface.name;
    if interface.loopback || !interface.ethernet {
        return Err(Failure::usage(format!("--interface {name}: its frames have no Ethernet header"))
            .remedy("leave --interface out to load over sockets"));
    }
    if let Some(other) = &interface.xdp {
        return Err(Failure::system(format!(
            "{name} has an XDP program already (id {}, {}), and --interface {name} would displace it",
            other.program_id,
            other.mode.name()
        ))
        .remedy(format!(
            "take it off (`ip link set dev {name} xdp off`), or leave --interface out to load over sockets"
        )));
    }
    Ok(())
}

/// Where to send from: what `--source` names, each an address of the interface, else what the route
/// prefers.
fn sources(args: &LoadArgs, interface: &Interface, preferred: Option<IpAddr>) -> Result<Vec<IpAddr>> {
    let own = interface::addresses(Some(interface.index))?;
    match args.sources.iter().find(|source| !own.iter().any(|address| address.ip == **source)) {
        Some(source) => {
            Err(Failure::usage(format!("--source {source} is no address of {}", interface.name)).remedy(
                format!("`ip address add {source} dev {}` makes it one, where that is right", interface.name),
            ))
        }
        None if args.sources.is_empty() => Ok(preferred.into_iter().collect()),
        None => Ok(args.sources.clone()),
    }
}

/// Asks from an ordinary socket, which also makes the kernel find the next hop's hardware address.
fn answers(flows: &[(Flow, UdpSocket)]) -> Result<bool> {
    let Some((_, socket)) = flows.first() else { return Ok(false) };
    let mut id = [0; 12];
    crate::client::message::random(&mut id)?;
    let mut request = [0; 32];
    let length = Request::new(Shape::Bare).write(&mut request, &id);
    for _ in 0..TRIES {
        // A refusal of an earlier try shows here; the next may do better, the last counts.
        let _ = socket.send(&request[..length]);
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut waiting, Some(&PATIENCE)) {
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

/// Adds what to do about a refused attachment.
fn explain(failure: Failure) -> Failure {
    let remedy = match failure.errno() {
        Some(libc::EPERM | libc::EACCES) => {
            "run as root, or grant CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON and CAP_NET_RAW, or leave --interface out to load over \
             sockets"
        }
        Some(libc::ENOTCONN) => "bring the other end of the veth pair up first",
        _ => "try --xdp-mode generic, or leave --interface out to load over sockets",
    };
    failure.remedy(remedy)
}
