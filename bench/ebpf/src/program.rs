//! One program for both directions. The frame that is sent is user space's; what differs from one
//! request to the next is written such that its checksum stays right: whatever a word gains,
//! another one loses (RFC 1624).
#![allow(unsafe_code)]

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    helpers::{bpf_ktime_get_ns, bpf_redirect},
    macros::{map, xdp},
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};
use xstun_bench_ebpf::{Count, FRACTIONS, LATENCIES, Plan, SLACK, latency_index, offset};
use xstun_ebpf::packet::bytes;

#[map]
static XSTUN_PLAN: Array<Plan> = Array::with_max_entries(1, 0);
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
    let start = ctx.data();
    if start + offset::END > ctx.data_end() {
        return XDP_DROP;
    }
    let port = ((plan.first_port + (plan.sent & (plan.ports - 1))) as u16).to_be_bytes();
    let time = (plan.start + due) as u32;
    // SAFETY: the frame was just seen to have all these bytes, and in this call it is this program's.
    unsafe {
        *((start + offset::SOURCE_PORT) as *mut [u8; 2]) = port;
        *((start + offset::PORT_COMPLEMENT) as *mut [u8; 2]) = port.map(|byte| !byte);
        *((start + offset::TIME) as *mut [u8; 4]) = time.to_be_bytes();
        *((start + offset::TIME_COMPLEMENT) as *mut [u8; 4]) = (!time).to_be_bytes();
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
    match bytes(ctx, offset::STUN).filter(|reply| is_right(headers, reply)) {
        Some(reply) => {
            count(Count::Right);
            // SAFETY: the helper takes nothing and only reads the clock.
            let now = unsafe { bpf_ktime_get_ns() } as u32;
            let time = &reply[offset::TIME - offset::STUN..];
            let sent = u32::from_be_bytes([time[0], time[1], time[2], time[3]]);
            add(&XSTUN_LATENCIES, latency_index(now.wrapping_sub(sent)));
        }
        None => count(Count::Other),
    }
    XDP_DROP
}

/// What is looked at of a reply: its header, and XOR-MAPPED-ADDRESS with an IPv4 address, which every
/// server that is measured sends first. Some send more after it.
const REPLY: usize = 32;
/// Headers of UDP and STUN, in bytes.
const WITHOUT_ATTRIBUTES: u16 = 8 + 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Whether it is a success for a request of ours, with the address and the port that it was sent to.
#[inline(always)]
fn is_right(headers: &[u8; offset::STUN], reply: &[u8; REPLY]) -> bool {
    let (address, port) = (&headers[30..34], &headers[36..38]);
    let xored = |index: usize| reply[24 + 4 + index] == address[index] ^ COOKIE[index];
    let (udp, attributes) = ([headers[38], headers[39]], [reply[2], reply[3]]);
    reply[..2] == [1, 1]
        && u16::from_be_bytes(udp) == u16::from_be_bytes(attributes).wrapping_add(WITHOUT_ATTRIBUTES)
        && reply[4..8] == COOKIE
        && reply[8..10] == [!port[0], !port[1]]
        && reply[10..14] == [!reply[14], !reply[15], !reply[16], !reply[17]]
        && reply[20..26] == [0, 0x20, 0, 8, 0, 1]
        && reply[26..28] == [port[0] ^ COOKIE[0], port[1] ^ COOKIE[1]]
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

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// bpf_redirect needs no GPL helper; this names the terms of the crate in the kernel's words.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
