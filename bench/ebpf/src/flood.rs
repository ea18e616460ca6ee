//! The generator: one program for both directions. The frame that is sent is user space's template; what
//! differs from one request to the next is written such that its checksum stays right: whatever a word
//! gains, another one loses (RFC 1624).
//!
//! A page that was sent comes back to the test run with what the server left in it: where the server
//! answers in the frame itself (XDP_TX), that is a reply, with a reply's length. Each run therefore writes
//! the whole frame and sets its length; otherwise the generator's own broken frames look like loss.
#![allow(unsafe_code)]

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    helpers::{bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_tail},
    macros::{map, xdp},
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};
use xstun_bench_ebpf::{Count, FRACTIONS, LATENCIES, Plan, SLACK, SPARE, Template, latency_index, offset};
use xstun_ebpf::packet::bytes;

#[map]
static XSTUN_PLAN: Array<Plan> = Array::with_max_entries(1, 0);
#[map]
static XSTUN_TEMPLATE: Array<Template> = Array::with_max_entries(1, 0);
#[map]
static XSTUN_COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Count::ALL.len() as u32, 0);
#[map]
static XSTUN_LATENCIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LATENCIES as u32, 0);

/// Requests between two looks at the clock while the plan is behind. A look costs a fifth of a request.
const LOOK: u64 = 8;

/// Counts what comes in by the plan's interface, and asks where it is run by BPF_PROG_TEST_RUN, which
/// names another one. Two programs would not do: a program that is attached nowhere enters the kernel's
/// XDP dispatcher at the start of each test run and leaves it at the end, and either waits for all CPUs,
/// some ten milliseconds.
#[xdp]
fn xstun_flood(ctx: XdpContext) -> u32 {
    let Some(plan) = XSTUN_PLAN.get(0) else { return XDP_PASS };
    if u64::from(ctx.ingress_ifindex() as u32) == plan.interface { tally(&ctx, plan) } else { ask(&ctx) }
}

/// Makes the frame the next request and sends it out of the plan's interface, or drops it where no
/// request is due.
#[inline(always)]
fn ask(ctx: &XdpContext) -> u32 {
    let Some(plan) = XSTUN_PLAN.get_ptr_mut(0) else { return XDP_DROP };
    // SAFETY: the pointer is to the map's only value; one CPU asks, other CPUs read only
    // what never changes, and user space writes the value before and reads it after.
    let plan = unsafe { &mut *plan };
    // The next one may be due already at the time of the last look.
    if plan.sent % LOOK == 0 || plan.due > plan.elapsed * FRACTIONS {
        // SAFETY: the helper takes nothing and only reads the clock.
        let now = unsafe { bpf_ktime_get_ns() };
        if plan.start == 0 {
            plan.start = now;
        }
        plan.elapsed = now - plan.start;
        make_up(plan);
    }
    let due = if plan.interval == 0 { plan.elapsed } else { plan.due / FRACTIONS };
    if due > plan.elapsed || plan.elapsed >= plan.duration {
        return XDP_DROP;
    }
    let Some(template) = XSTUN_TEMPLATE.get(0) else { return XDP_DROP };
    let start = ctx.data();
    if start + size_of::<Template>() > ctx.data_end() {
        return XDP_DROP;
    }
    let port = ((plan.first_port + (plan.sent & (plan.ports - 1))) as u16).to_be_bytes();
    let time = (plan.start + due) as u32;
    // SAFETY: the frame was just seen to have all these bytes, and in this call it is this program's. In a
    // test run it starts at a multiple of eight: a page's start, two structures of the kernel, 256 bytes.
    unsafe {
        *(start as *mut Template) = *template;
        *((start + offset::SOURCE_PORT) as *mut [u8; 2]) = port;
        *((start + offset::PORT_COMPLEMENT) as *mut [u8; 2]) = port.map(|byte| !byte);
        *((start + offset::TIME) as *mut [u8; 4]) = time.to_be_bytes();
        *((start + offset::TIME_COMPLEMENT) as *mut [u8; 4]) = (!time).to_be_bytes();
    }
    // SAFETY: the helper takes the context that the kernel passed to this call, and the packet is not touched
    // after it.
    if unsafe { bpf_xdp_adjust_tail(ctx.as_ptr().cast(), -(SPARE as i32)) } != 0 {
        return XDP_DROP;
    }
    plan.sent += 1;
    plan.due += plan.interval;
    // SAFETY: the helper takes two numbers.
    unsafe { bpf_redirect(plan.interface as u32, 0) as u32 }
}

/// Leaves out what is due for longer than [`SLACK`]. The core that asks is away at times, and what
/// it would ask all at once after that no network brings.
#[inline(always)]
fn make_up(plan: &mut Plan) {
    if plan.interval == 0 {
        return;
    }
    let late = plan.elapsed.saturating_sub(plan.due / FRACTIONS);
    if late > plan.latest {
        plan.latest = late;
    }
    if late > SLACK {
        let left_out = (late - SLACK) * FRACTIONS / plan.interval;
        plan.omitted += left_out;
        plan.due += left_out * plan.interval;
    }
}

/// Counts what comes from the server's port, right replies and others, and how long they took.
#[inline(always)]
fn tally(ctx: &XdpContext, plan: &Plan) -> u32 {
    let Some(headers) = bytes::<{ offset::STUN }>(ctx, 0) else { return XDP_PASS };
    let ours = headers[12..14] == [8, 0] && headers[14] == 0x45 && headers[23] == 17;
    if !ours || headers[offset::SOURCE_PORT..][..2] != (plan.server_port as u16).to_be_bytes() {
        return XDP_PASS;
    }
    let message = bytes::<HEADER>(ctx, offset::STUN);
    let right = |message: &&[u8; HEADER]| {
        if plan.reflected != 0 {
            continues(headers, message, REQUEST)
        } else {
            let attribute = bytes(ctx, offset::STUN + HEADER);
            continues(headers, message, SUCCESS) && attribute.is_some_and(|it| has_address(headers, it))
        }
    };
    match message.filter(right) {
        Some(message) => {
            count(Count::Right);
            // SAFETY: the helper takes nothing and only reads the clock.
            let now = unsafe { bpf_ktime_get_ns() } as u32;
            let time = &message[offset::TIME - offset::STUN..];
            let sent = u32::from_be_bytes([time[0], time[1], time[2], time[3]]);
            add(&XSTUN_LATENCIES, latency_index(now.wrapping_sub(sent)));
        }
        None => count(Count::Other),
    }
    XDP_DROP
}

/// Length of a STUN header.
const HEADER: usize = 20;
/// Length of XOR-MAPPED-ADDRESS with an IPv4 address, which every server that is measured sends first.
const ATTRIBUTE: usize = 12;
/// Headers of UDP and STUN, in bytes.
const WITHOUT_ATTRIBUTES: u16 = (8 + HEADER) as u16;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Message type of a Binding request.
const REQUEST: [u8; 2] = [0, 1];
/// Message type of its success response.
const SUCCESS: [u8; 2] = [1, 1];

/// Whether it is a message of this type with the transaction ID of a request of ours from this port.
#[inline(always)]
fn continues(headers: &[u8; offset::STUN], message: &[u8; HEADER], kind: [u8; 2]) -> bool {
    let port = &headers[36..38];
    let (udp, attributes) = ([headers[38], headers[39]], [message[2], message[3]]);
    message[..2] == kind
        && u16::from_be_bytes(udp) == u16::from_be_bytes(attributes).wrapping_add(WITHOUT_ATTRIBUTES)
        && message[4..8] == COOKIE
        && message[8..10] == [!port[0], !port[1]]
        && message[10..14] == [!message[14], !message[15], !message[16], !message[17]]
}

/// Whether the attribute says the address and the port that the reply was sent to.
#[inline(always)]
fn has_address(headers: &[u8; offset::STUN], attribute: &[u8; ATTRIBUTE]) -> bool {
    let (address, port) = (&headers[30..34], &headers[36..38]);
    let xored = |index: usize| attribute[8 + index] == address[index] ^ COOKIE[index];
    attribute[..6] == [0, 0x20, 0, 8, 0, 1]
        && attribute[6..8] == [port[0] ^ COOKIE[0], port[1] ^ COOKIE[1]]
        && xored(0)
        && xored(1)
        && xored(2)
        && xored(3)
}

#[inline(always)]
fn count(what: Count) {
    add(&XSTUN_COUNTS, what as u32);
}

#[inline(always)]
fn add(map: &PerCpuArray<u64>, index: u32) {
    if let Some(counter) = map.get_ptr_mut(index) {
        // SAFETY: the pointer is to this CPU's own slot, and a program does not migrate while it runs.
        unsafe { *counter += 1 };
    }
}

/// The crate's licence in the kernel's words. No helper in use requires the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
