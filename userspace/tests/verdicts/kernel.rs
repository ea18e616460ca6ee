//! The loaded object, and one run of one of its programs.

use super::PROGRAMS;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use xstun_core::classify::Verdict;
use xstun_core::outcome::Outcome;
use xstun_core::served::Served;
use xstun_core::stun::Permission;
use xstun_ebpf::{MAP_MAC, MAP_OUTCOMES, MAP_PORTS, MAP_REFUSED, MAP_SERVED, MAP_SOCKETS, MAP_VERDICTS};
use xstun_testkit::frames;

/// Bytes by which a program may make a frame longer.
const GROWTH: usize = 64;

/// The loaded object, whose maps have the endpoints of [`frames::served`].
pub(crate) struct Kernel {
    ebpf: Ebpf,
    verdicts: PerCpuArray<MapData, u64>,
    outcomes: PerCpuArray<MapData, u64>,
}

/// What a program did with one frame.
pub(crate) struct ProgramRun {
    pub(crate) action: u32,
    /// The one verdict that it counted.
    pub(crate) verdict: Verdict,
    /// The one outcome that it counted, if any.
    pub(crate) outcome: Option<Outcome>,
    /// The frame afterwards.
    pub(crate) frame: Vec<u8>,
}

/// Loads the object's maps, and none of its programs.
pub(crate) fn load_object() -> Ebpf {
    let path = std::env::var_os("XSTUN_EBPF_OBJECT").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../xstun-ebpf.o")),
        PathBuf::from,
    );
    let object = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build` builds it", path.display()));
    // The build script writes an empty file if there is no object to embed.
    assert!(!object.is_empty(), "{} is a placeholder; `cargo xtask build` builds it", path.display());
    EbpfLoader::new().load(&object).expect("the object loads")
}

impl Kernel {
    /// Loads every program; the endpoints have this `permission`.
    pub(crate) fn load(permission: Permission) -> Self {
        let mut ebpf = load_object();
        for name in PROGRAMS {
            program(&mut ebpf, name).load().unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        let verdicts = PerCpuArray::try_from(ebpf.take_map(MAP_VERDICTS).expect(MAP_VERDICTS)).unwrap();
        let outcomes = PerCpuArray::try_from(ebpf.take_map(MAP_OUTCOMES).expect(MAP_OUTCOMES)).unwrap();
        let mut kernel = Kernel { ebpf, verdicts, outcomes };
        kernel.fill(&frames::served());
        kernel.permit(permission);
        kernel
    }

    /// Counts so far, by the index of their verdict.
    fn verdicts(&self) -> Vec<u64> {
        Verdict::ALL.iter().map(|verdict| sum(&self.verdicts, verdict.index())).collect()
    }

    /// Counts so far, by the index of their outcome.
    fn outcomes(&self) -> Vec<u64> {
        Outcome::ALL.iter().map(|outcome| sum(&self.outcomes, outcome.index())).collect()
    }

    /// Runs the program once. `linear` is the number of bytes in the first buffer, by default all.
    pub(crate) fn run(
        &mut self,
        name: &str,
        frame: &[u8],
        linear: Option<usize>,
    ) -> std::io::Result<ProgramRun> {
        let before = (self.verdicts(), self.outcomes());
        let mut after_run = vec![0; frame.len() + GROWTH];
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
            Err(ProgramError::SyscallError(error)) => return Err(error.io_error),
            Err(error) => panic!("{name}: {error:?}"),
        };
        after_run.truncate(result.data_size_out as usize);
        let verdicts = counted(&Verdict::ALL, &before.0, &self.verdicts());
        let outcomes = counted(&Outcome::ALL, &before.1, &self.outcomes());
        let [verdict] = verdicts[..] else { panic!("{name} counted {verdicts:?} for {frame:02x?}") };
        assert!(outcomes.len() < 2, "{name} counted {outcomes:?} for {frame:02x?}");
        let outcome = outcomes.first().copied();
        Ok(ProgramRun { action: result.return_value, verdict, outcome, frame: after_run })
    }

    /// Adds a socket for queue 0, which test runs use. It is not bound: the map accepts any AF_XDP socket that
    /// has a receive ring, and a test run delivers nothing.
    pub(crate) fn add_socket(&mut self) -> OwnedFd {
        let socket =
            rustix::net::socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)
                .expect("an AF_XDP socket");
        rustix::net::sockopt::set_xdp_rx_ring_size(&socket, 64).expect("a receive ring");
        let mut sockets = XskMap::try_from(self.ebpf.map_mut(MAP_SOCKETS).expect(MAP_SOCKETS)).unwrap();
        sockets.set(0, socket.as_raw_fd(), 0).expect("the map accepts the socket");
        socket
    }

    /// Fills the maps in the layout that `xstun_ebpf` documents, independently of its code.
    fn fill(&mut self, served: &Served) {
        let mut mac = Array::<_, [u8; 8]>::try_from(self.ebpf.map_mut(MAP_MAC).expect(MAP_MAC)).unwrap();
        let mut padded = [0; 8];
        padded[..6].copy_from_slice(&served.mac_address());
        mac.set(0, padded, 0).unwrap();
        self.set_words(MAP_PORTS, served.port_words());
        self.refuse(served);
    }

    /// Refuses the sources that `served` refuses.
    pub(crate) fn refuse(&mut self, served: &Served) {
        self.set_words(MAP_REFUSED, served.refused_words());
    }

    fn set_words(&mut self, map: &str, words: Vec<u64>) {
        let mut array = Array::<_, u64>::try_from(self.ebpf.map_mut(map).expect(map)).unwrap();
        for (index, word) in (0..).zip(words) {
            array.set(index, word, 0).unwrap();
        }
    }

    /// Gives every endpoint this permission.
    pub(crate) fn permit(&mut self, permission: Permission) {
        let map = self.ebpf.map_mut(MAP_SERVED).expect(MAP_SERVED);
        let mut endpoints = HashMap::<_, [u8; 20], u8>::try_from(map).unwrap();
        for address in [IpAddr::V4(frames::IPV4), IpAddr::V6(frames::IPV6)] {
            let mut key = [0; 20];
            match address {
                IpAddr::V4(v4) => key[12..16].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => key[..16].copy_from_slice(&v6.octets()),
            }
            key[16..18].copy_from_slice(&frames::PORT.to_be_bytes());
            key[18] = if address.is_ipv4() { 4 } else { 6 };
            endpoints.insert(key, permission.to_byte(), 0).unwrap();
        }
    }
}

fn sum(counters: &PerCpuArray<MapData, u64>, index: usize) -> u64 {
    counters.get(&(index as u32), 0).unwrap().iter().sum()
}

/// Each item as often as it was counted between the two readings.
fn counted<T: Copy>(items: &[T], before: &[u64], after: &[u64]) -> Vec<T> {
    let counts = before.iter().zip(after).map(|(before, after)| (after - before) as usize);
    items.iter().zip(counts).flat_map(|(item, count)| vec![*item; count]).collect()
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).expect(name).try_into().expect("an XDP program")
}
