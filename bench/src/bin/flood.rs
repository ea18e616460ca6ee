//! The benchmark's generator: requests made within the kernel (BPF_PROG_TEST_RUN, live frames) and
//! redirected into the client's end of a veth pair, replies counted by an XDP program on it. One core
//! so offers several times what any server bears. `xstun load` is the generator for people; this one
//! asks one kind of question, over IPv4 and one queue, and judges a reply by its bytes alone.
//!
//! Prints what came of it as JSON, with the keys of `xstun load --json`.

use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use clap::Parser;
use etherparse::PacketBuilder;
use serde_json::json;
use std::error::Error;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};
use xstun::interface::{self, Interface};
use xstun_bench_ebpf::{
    Count, FRACTIONS, MAP_COUNTS, MAP_LATENCIES, MAP_PLAN, MAP_TEMPLATE, PROGRAM_FLOOD, Plan, SPARE,
    Template, latency_of, offset,
};

/// Asks a server on the other end of a veth pair.
#[derive(Parser)]
struct Arguments {
    /// The server
    server: SocketAddrV4,
    /// This end of the pair
    #[arg(long)]
    interface: String,
    /// The object with the program
    #[arg(long, value_name = "FILE")]
    object: PathBuf,
    /// Requests a second; as many as leave if not given
    #[arg(long)]
    rate: Option<u64>,
    /// Seconds
    #[arg(long, default_value_t = 1.0)]
    duration: f64,
    /// Slices of that time, each measured by itself: loss, replies a second and latencies are
    /// medians over them, so that a moment without a core affects one slice only
    #[arg(long, value_name = "N", default_value = "1")]
    slices: NonZeroU32,
    /// Source ports; the next power of two is taken
    #[arg(long, default_value_t = 64)]
    ports: u16,
    /// The server sends requests back: take these for replies
    #[arg(long)]
    reflected: bool,
}

/// Below the range that the kernel gives out by itself.
const FIRST_PORT: u16 = 20_000;
/// Frames of one batch; the kernel hands them over together.
const BATCH: u32 = 64;
/// Runs of the program a call: some ten milliseconds, so that the end is seen in time and the cost of a
/// call (it makes a pool of pages) is none.
const RUNS: u32 = 256 * 1024;
/// How long the last replies of a slice may take.
const GRACE: Duration = Duration::from_millis(20);
const HOPS: u8 = 64;
/// A Binding request without attributes: type, length, magic cookie.
const REQUEST: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("error: {error}");
        process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let interface = interface::find(&arguments.interface)?;
    let frame = request(arguments.server, &interface)?;
    let mut ebpf = EbpfLoader::new().load_file(&arguments.object)?;
    let slice = Duration::from_secs_f64(arguments.duration) / arguments.slices.get();
    let plan = Plan {
        interval: arguments.rate.map_or(0, |rate| 1_000_000_000 * FRACTIONS / rate.max(1)),
        duration: u64::try_from(slice.as_nanos())?,
        interface: interface.index.into(),
        first_port: FIRST_PORT.into(),
        ports: arguments.ports.next_power_of_two().into(),
        server_port: arguments.server.port().into(),
        reflected: arguments.reflected.into(),
        ..Plan::default()
    };
    let mut template: Array<_, Template> =
        ebpf.map_mut(MAP_TEMPLATE).ok_or("the object has no template")?.try_into()?;
    template.set(0, words(&frame)?, 0)?;
    let program: &mut Xdp = ebpf.program_mut(PROGRAM_FLOOD).ok_or("the object has no program")?.try_into()?;
    program.load()?;
    program.attach_to_if_index(interface.index, XdpMode::Driver)?;
    let mut slices = Vec::new();
    for _ in 0..arguments.slices.get() {
        slices.push(ask(&mut ebpf, &frame, &plan)?);
    }
    println!("{}", report(&ebpf, &slices, slice)?);
    Ok(())
}

/// What came of one slice of the time.
struct Slice {
    sent: u64,
    replies: u64,
    omitted: u64,
    /// Nanoseconds.
    latest: u64,
    /// Right replies by their latency.
    latencies: Vec<u64>,
}

impl Slice {
    /// The latency that this part of its right replies took at most, in microseconds.
    fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = (self.latencies.iter().sum::<u64>() as f64 * part).ceil() as u64;
        let mut seen = 0;
        let index = self.latencies.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        })?;
        Some(latency_of(index as u32) as f64 / 1000.0)
    }
}

/// Asks for the time of one slice, and waits for its last replies.
fn ask(ebpf: &mut Ebpf, frame: &[u8], plan: &Plan) -> Result<Slice> {
    let before = (count(ebpf, Count::Right)?, sums(ebpf, MAP_LATENCIES)?);
    plan_map(ebpf)?.set(0, plan.to_words(), 0)?;
    let program: &mut Xdp = ebpf.program_mut(PROGRAM_FLOOD).ok_or("the object has no program")?.try_into()?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_nanos(plan.duration) {
        program.test_run(TestRunOptions {
            data_in: Some(frame),
            repeat: RUNS,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        })?;
    }
    sleep(GRACE);
    let Plan { sent, omitted, latest, .. } = Plan::from_words(plan_map(ebpf)?.get(&0, 0)?);
    let after = sums(ebpf, MAP_LATENCIES)?;
    let latencies = after.iter().zip(&before.1).map(|(after, before)| after - before).collect();
    Ok(Slice { sent, replies: count(ebpf, Count::Right)? - before.0, omitted, latest, latencies })
}

/// What was counted so far.
fn count(ebpf: &Ebpf, what: Count) -> Result<u64> {
    Ok(sums(ebpf, MAP_COUNTS)?[what as usize])
}

/// Sums and medians over the slices, as one JSON object.
fn report(ebpf: &Ebpf, slices: &[Slice], slice: Duration) -> Result<serde_json::Value> {
    let quantile = |part: f64| {
        let measured: Vec<f64> = slices.iter().filter_map(|slice| slice.quantile(part)).collect();
        (!measured.is_empty()).then(|| median(measured.into_iter()))
    };
    let seconds = slice.as_secs_f64();
    let sum = |of: fn(&Slice) -> u64| slices.iter().map(of).sum::<u64>();
    let lost = |slice: &Slice| 1.0 - (slice.replies.min(slice.sent) as f64) / slice.sent.max(1) as f64;
    Ok(json!({
        "sent": sum(|slice| slice.sent),
        "received": sum(|slice| slice.replies),
        "wrong": count(ebpf, Count::Other)?,
        "omitted": sum(|slice| slice.omitted),
        "latest_us": slices.iter().map(|slice| slice.latest).max().unwrap_or_default() as f64 / 1000.0,
        "loss": median(slices.iter().map(lost)),
        "duration_s": seconds * slices.len() as f64,
        "replies_per_second": median(slices.iter().map(|slice| slice.replies as f64 / seconds)),
        "latency_us": { "p50": quantile(0.5), "p99": quantile(0.99), "p999": quantile(0.999) },
    }))
}

/// The median, of two in the middle the lower.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// The frame of the first request, on its way to the server, with the spare bytes behind it. Its checksums
/// stay right for all others.
fn request(server: SocketAddrV4, interface: &Interface) -> Result<Vec<u8>> {
    let address = IpAddr::V4(*server.ip());
    let route = interface::route(address, interface)?;
    let Some(IpAddr::V4(source)) = route.source else {
        return Err(format!("{} has no IPv4 address to ask from", interface.name).into());
    };
    // Makes the kernel look the server's hardware address up. Port 9 discards.
    UdpSocket::bind((source, 0))?.send_to(&[0], SocketAddr::new(address, 9))?;
    let mut tries = 0;
    let next_hop = loop {
        match interface::neighbour(route.next_hop, interface)? {
            Some(mac) => break mac,
            None if tries < 50 => {
                tries += 1;
                sleep(Duration::from_millis(20));
            }
            None => return Err(format!("{} has no hardware address", route.next_hop).into()),
        }
    };
    let complement = FIRST_PORT.to_be_bytes().map(|byte| !byte);
    let message = [&REQUEST[..], &complement, &[0; 4], &[0xff; 4], b"xs"].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(interface.mac, next_hop)
        .ipv4(source.octets(), server.ip().octets(), HOPS)
        .udp(FIRST_PORT, server.port())
        .write(&mut frame, &message)?;
    assert_eq!(frame.len(), offset::END);
    frame.extend([0; SPARE]);
    Ok(frame)
}

/// A frame as the program copies it.
fn words(frame: &[u8]) -> Result<Template> {
    let words = frame.chunks_exact(8).map(|word| Ok(u64::from_ne_bytes(word.try_into()?)));
    words.collect::<Result<Vec<_>>>()?.try_into().map_err(|_| "the frame has another length".into())
}

fn plan_map(ebpf: &mut Ebpf) -> Result<Array<&mut MapData, [u64; Plan::WORDS]>> {
    Ok(ebpf.map_mut(MAP_PLAN).ok_or("the object has no plan")?.try_into()?)
}

/// A per-CPU array, summed.
fn sums(ebpf: &Ebpf, name: &str) -> Result<Vec<u64>> {
    let map = ebpf.map(name).ok_or_else(|| format!("the object has no map {name}"))?;
    let map = PerCpuArray::<_, u64>::try_from(map)?;
    map.iter().map(|values| Ok(values?.iter().sum())).collect()
}
