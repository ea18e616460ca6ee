//! The XDP program, run in the kernel by BPF_PROG_TEST_RUN, has the same verdict as `classify` on the host,
//! counts each frame once under that verdict, and does not change its bytes.

use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use xstun_core::classify::{Verdict, classify};
use xstun_core::served::Served;
use xstun_ebpf::{MAP_MAC, MAP_PORTS, MAP_SERVED, MAP_SOCKETS, MAP_VERDICTS, PROGRAM_FRAGS, PROGRAM_LINEAR};
use xstun_testkit::frames;
use xstun_testkit::random::Random;

const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
const EINVAL: i32 = 22;

/// The loaded object, whose maps have the endpoints of [`frames::served`].
struct Kernel {
    ebpf: Ebpf,
    verdicts: PerCpuArray<MapData, u64>,
}

impl Kernel {
    fn load() -> Self {
        let path = std::env::var_os("XSTUN_EBPF_OBJECT").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../xstun-ebpf.o")),
            PathBuf::from,
        );
        let object = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build` builds it", path.display()));
        // The build script writes an empty file if there is no object to embed.
        assert!(!object.is_empty(), "{} is a placeholder; `cargo xtask build` builds it", path.display());
        let mut ebpf = EbpfLoader::new().load(&object).expect("the object loads");
        for name in [PROGRAM_FRAGS, PROGRAM_LINEAR] {
            program(&mut ebpf, name).load().unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        fill(&mut ebpf, &frames::served());
        let verdicts = PerCpuArray::try_from(ebpf.take_map(MAP_VERDICTS).expect(MAP_VERDICTS)).unwrap();
        Kernel { ebpf, verdicts }
    }

    /// Counts so far, by the index of their verdict.
    fn counts(&self) -> Vec<u64> {
        let count = |verdict: Verdict| self.verdicts.get(&(verdict as u32), 0).unwrap().iter().sum();
        Verdict::ALL.into_iter().map(count).collect()
    }

    /// Runs the program once and returns its action and the one verdict that it counted. `linear` is the
    /// number of bytes in the first buffer, by default all.
    fn run(&mut self, name: &str, frame: &[u8], linear: Option<usize>) -> std::io::Result<(u32, Verdict)> {
        let before = self.counts();
        let mut after_run = vec![0; frame.len()];
        // struct xdp_md: only data_end, the length of the first buffer, is not zero.
        let mut context = [0u8; 24];
        context[4..8].copy_from_slice(&(linear.unwrap_or(frame.len()) as u32).to_ne_bytes());
        let result = program(&mut self.ebpf, name).test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut after_run),
            ctx_in: linear.is_some().then_some(&context),
            ..TestRunOptions::new()
        });
        let result = match result {
            Ok(result) => result,
            Err(aya::programs::ProgramError::SyscallError(error)) => return Err(error.io_error),
            Err(error) => panic!("{name}: {error:?}"),
        };
        assert_eq!(result.data_size_out as usize, frame.len(), "{name} changed the frame's length");
        assert_eq!(after_run, frame, "{name} changed the frame");
        let counted: Vec<_> = Verdict::ALL
            .into_iter()
            .zip(before.iter().zip(self.counts()))
            .flat_map(|(verdict, (before, after))| vec![verdict; (after - before) as usize])
            .collect();
        let [verdict] = counted[..] else { panic!("{name} counted {counted:?} for {frame:02x?}") };
        Ok((result.return_value, verdict))
    }

    /// Asserts that both programs have the host's verdict on `frame`, with or without a socket on the queue.
    fn assert_agrees(&mut self, what: &str, frame: &[u8], socket: bool) {
        let (action, verdict) = match classify(frame, &frames::served()) {
            Ok(_) if socket => (XDP_REDIRECT, Verdict::Redirect),
            Ok(_) => (XDP_PASS, Verdict::NoSocket),
            Err(verdict) => (XDP_PASS, verdict),
        };
        for name in [PROGRAM_FRAGS, PROGRAM_LINEAR] {
            let kernel =
                self.run(name, frame, None).unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            assert_eq!(kernel, (action, verdict), "{name}, {what}: {frame:02x?}");
        }
    }

    /// Adds a socket for queue 0, which test runs use. It is not bound: the map accepts any AF_XDP socket that
    /// has a receive ring, and a test run delivers nothing.
    fn add_socket(&mut self) -> OwnedFd {
        let socket =
            rustix::net::socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)
                .expect("an AF_XDP socket");
        rustix::net::sockopt::set_xdp_rx_ring_size(&socket, 64).expect("a receive ring");
        let mut sockets = XskMap::try_from(self.ebpf.map_mut(MAP_SOCKETS).expect(MAP_SOCKETS)).unwrap();
        sockets.set(0, socket.as_raw_fd(), 0).expect("the map accepts the socket");
        socket
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).expect(name).try_into().expect("an XDP program")
}

/// Fills the maps in the layout that `xstun_ebpf` documents, independently of its code.
fn fill(ebpf: &mut Ebpf, served: &Served) {
    let mut mac = Array::<_, [u8; 8]>::try_from(ebpf.map_mut(MAP_MAC).expect(MAP_MAC)).unwrap();
    let mut padded = [0; 8];
    padded[..6].copy_from_slice(&served.mac_address());
    mac.set(0, padded, 0).unwrap();
    let mut ports = Array::<_, u64>::try_from(ebpf.map_mut(MAP_PORTS).expect(MAP_PORTS)).unwrap();
    for (index, word) in served.port_words().into_iter().enumerate() {
        ports.set(index as u32, word, 0).unwrap();
    }
    let mut endpoints =
        HashMap::<_, [u8; 20], u8>::try_from(ebpf.map_mut(MAP_SERVED).expect(MAP_SERVED)).unwrap();
    for address in [IpAddr::V4(frames::IPV4), IpAddr::V6(frames::IPV6)] {
        let mut key = [0; 20];
        match address {
            IpAddr::V4(v4) => key[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => key[..16].copy_from_slice(&v6.octets()),
        }
        key[16..18].copy_from_slice(&frames::PORT.to_be_bytes());
        key[18] = if address.is_ipv4() { 4 } else { 6 };
        endpoints.insert(key, 1, 0).unwrap();
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_each_case() {
    let mut kernel = Kernel::load();
    for case in frames::cases() {
        let host = classify(case.frame.as_slice(), &frames::served()).map(|_| ());
        assert_eq!(host, case.verdict, "the host, {}", case.name);
        kernel.assert_agrees(case.name, &case.frame, false);
    }
    let _socket = kernel.add_socket();
    for case in frames::cases() {
        kernel.assert_agrees(case.name, &case.frame, true);
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_each_truncated_frame() {
    let mut kernel = Kernel::load();
    let _socket = kernel.add_socket();
    let tagged = |ip| frames::udp(ip, frames::Tag::One(7), &frames::REQUEST);
    for whole in [
        frames::ipv4(&frames::REQUEST),
        frames::ipv6(&frames::REQUEST),
        tagged(frames::ipv4_header()),
        tagged(frames::ipv6_header()),
    ] {
        for length in 14..=whole.len() {
            kernel.assert_agrees(&format!("the first {length} bytes"), &whole[..length], true);
        }
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn the_kernel_has_the_hosts_verdict_on_mutated_frames() {
    let mut kernel = Kernel::load();
    let _socket = kernel.add_socket();
    let cases = frames::cases();
    let mut random = Random(8489);
    for number in 0..3000 {
        let case = &cases[random.below(cases.len())];
        let mut frame = case.frame.clone();
        random.mutate(&mut frame);
        kernel.assert_agrees(&format!("mutation {number} of {}", case.name), &frame, true);
    }
}

#[test]
#[ignore = "needs root: loads the XDP program"]
fn a_request_in_several_buffers_goes_to_the_stack() {
    let mut kernel = Kernel::load();
    let _socket = kernel.add_socket();
    let mut frame = frames::ipv4(&frames::REQUEST);
    let datagram = frame.len();
    frame.resize(datagram + 200, 0);
    match kernel.run(PROGRAM_FRAGS, &frame, Some(datagram)) {
        Ok(kernel) => assert_eq!(kernel, (XDP_PASS, Verdict::MultiBuffer)),
        // Before Linux 6.18 a test run accepts no length of the first buffer, and frames longer than one page
        // are TooLong first.
        Err(error) if error.raw_os_error() == Some(EINVAL) => {
            eprintln!("skipped: this kernel's test run cannot split so short a frame: {error}");
        }
        Err(error) => panic!("{error}"),
    }
    let long = vec![0; 5000];
    let long = frames::patched(long, 0, &frame);
    kernel.assert_agrees("a frame of 5000 bytes", &long, true);
}
