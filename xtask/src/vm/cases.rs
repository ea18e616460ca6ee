//! The NICs of a guest, and the modes requested of the server on each.

use serde_json::{Value, json};

/// A mode requested of the server.
#[derive(Clone, Copy, Debug)]
struct Mode {
    /// As in the table.
    name: &'static str,
    /// Flags of `xstun serve`.
    flags: &'static [&'static str],
    /// Whether the driver is known to lose frames of full size in this mode. Instead of the other checks, the
    /// guest checks that it still does.
    faulty: bool,
}

impl Mode {
    const fn new(name: &'static str, flags: &'static [&'static str]) -> Self {
        Mode { name, flags, faulty: false }
    }
}

const AUTO: Mode = Mode::new("auto", &[]);
const NATIVE: Mode = Mode::new("native", &["--xdp-mode", "native"]);
const GENERIC: Mode =
    Mode::new("generic, answers off", &["--xdp-mode", "generic", "--kernel-answers", "off"]);
const COPY: Mode = Mode::new("copy, answers off", &["--bind-mode", "copy", "--kernel-answers", "off"]);
const ANSWERS: Mode = Mode::new("answers on", &["--kernel-answers", "on"]);
const ZERO_COPY: Mode = Mode::new("zero-copy", &["--bind-mode", "zero-copy"]);
const FAULTY_ZERO_COPY: Mode = Mode { faulty: true, ..ZERO_COPY };

/// The server's end of a link.
#[derive(Clone, Copy, Debug)]
enum Device {
    /// A NIC that qemu emulates: its model and properties. Its peer is a virtio NIC.
    Nic { model: &'static str, properties: &'static str },
    /// One end of a veth pair.
    Veth,
    /// The loopback interface.
    Loopback,
}

/// One NIC with its link.
#[derive(Clone, Copy, Debug)]
pub(super) struct VmCase {
    /// As in the table.
    pub(super) name: &'static str,
    device: Device,
    /// Receive queues.
    pub(super) queues: u32,
    modes: &'static [Mode],
    /// When a server in mode `auto` goes through its full life cycle on this NIC.
    life_cycle: LifeCycle,
}

/// When the full life cycle is tested. It takes an emulated guest a minute or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LifeCycle {
    Always,
    /// With `--thorough`: on another NIC it is nearly the same.
    Thorough,
    Never,
}

/// How much a kernel's guest tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// Every rung, and the life cycle of [`LifeCycle::Always`].
    Rungs,
    /// Also the tests of `userspace/tests`.
    Whole,
    /// Everything.
    Thorough,
}

/// Properties of a virtio NIC without the offloads that rule out native XDP. The driver switches off
/// those that the guest may control; these the NIC does not offer at all.
const NO_OFFLOADS: &str = "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off,disable-legacy=on,iommu_platform=on";
const NO_OFFLOADS_NO_IOMMU: &str =
    "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off,disable-legacy=on";

/// Every NIC of a guest.
pub(super) const CASES: [VmCase; 10] = [
    VmCase {
        name: "virtio, iommu_platform",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS },
        queues: 1,
        modes: &[AUTO, ZERO_COPY, COPY, GENERIC, ANSWERS],
        life_cycle: LifeCycle::Thorough,
    },
    VmCase {
        name: "virtio, iommu_platform, 2 queues",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS },
        queues: 2,
        modes: &[AUTO],
        life_cycle: LifeCycle::Always,
    },
    VmCase {
        name: "virtio",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS_NO_IOMMU },
        queues: 1,
        modes: &[AUTO, ZERO_COPY, ANSWERS],
        life_cycle: LifeCycle::Never,
    },
    VmCase {
        name: "virtio, fixed offloads",
        device: Device::Nic {
            model: "virtio-net-pci",
            properties: "ctrl_guest_offloads=off,disable-legacy=on",
        },
        queues: 1,
        modes: &[AUTO, NATIVE],
        life_cycle: LifeCycle::Never,
    },
    VmCase {
        name: "e1000",
        device: Device::Nic { model: "e1000", properties: "" },
        queues: 1,
        modes: &[AUTO],
        life_cycle: LifeCycle::Thorough,
    },
    VmCase {
        name: "e1000e",
        device: Device::Nic { model: "e1000e", properties: "" },
        queues: 1,
        modes: &[AUTO, ANSWERS],
        life_cycle: LifeCycle::Never,
    },
    VmCase {
        name: "igb",
        device: Device::Nic { model: "igb", properties: "" },
        queues: 2,
        modes: &[AUTO, FAULTY_ZERO_COPY, ANSWERS],
        life_cycle: LifeCycle::Thorough,
    },
    VmCase {
        name: "vmxnet3",
        device: Device::Nic { model: "vmxnet3", properties: "" },
        queues: 1,
        modes: &[AUTO, ANSWERS],
        life_cycle: LifeCycle::Thorough,
    },
    VmCase {
        name: "veth",
        device: Device::Veth,
        queues: 2,
        modes: &[AUTO, ZERO_COPY],
        life_cycle: LifeCycle::Never,
    },
    VmCase {
        name: "loopback",
        device: Device::Loopback,
        queues: 1,
        modes: &[AUTO],
        life_cycle: LifeCycle::Never,
    },
];

/// The cases whose name contains `only`, each with the number that its addresses are made from.
pub(super) fn select(only: Option<&str>) -> Vec<(usize, VmCase)> {
    let wanted = |case: &VmCase| only.is_none_or(|only| case.name.contains(only));
    CASES.into_iter().enumerate().filter(|(_, case)| wanted(case)).collect()
}

impl VmCase {
    /// Whether it has a link on the host.
    pub(super) fn is_nic(&self) -> bool {
        matches!(self.device, Device::Nic { .. })
    }

    /// The model of the NIC that qemu emulates.
    pub(super) fn model(&self) -> Option<&'static str> {
        match self.device {
            Device::Nic { model, .. } => Some(model),
            Device::Veth | Device::Loopback => None,
        }
    }

    /// qemu's arguments for both NICs. `number` is that of [`select`].
    pub(super) fn arguments(&self, number: usize) -> Vec<String> {
        let Device::Nic { model, properties } = self.device else { return Vec::new() };
        let VmCase { queues, .. } = self;
        let mut device = format!("{model},netdev=s{number},mac=02:00:00:00:{number:02x}:01");
        let mut backend = format!("tap,id=s{number},ifname=s{number},script=no,downscript=no");
        if *queues > 1 {
            backend.push_str(&format!(",queues={queues}"));
        }
        if *queues > 1 && model == "virtio-net-pci" {
            // Two interrupts per queue pair, one for the configuration and one for the control queue.
            device.push_str(&format!(",mq=on,vectors={}", 2 * queues + 2));
        }
        if !properties.is_empty() {
            device.push_str(&format!(",{properties}"));
        }
        let peer = format!("virtio-net-pci,netdev=c{number},mac=02:00:00:00:{number:02x}:02");
        let peer_backend = format!("tap,id=c{number},ifname=c{number},script=no,downscript=no");
        let words = ["-netdev", &backend, "-device", &device, "-netdev", &peer_backend, "-device", &peer];
        words.map(str::to_owned).to_vec()
    }

    /// The case as the guest's test program reads it.
    pub(super) fn record(&self, number: usize, depth: Depth) -> Value {
        let life_cycle = match self.life_cycle {
            LifeCycle::Always => true,
            LifeCycle::Thorough => depth == Depth::Thorough,
            LifeCycle::Never => false,
        };
        let kind = match self.device {
            Device::Nic { .. } => "nic",
            Device::Veth => "veth",
            Device::Loopback => "loopback",
        };
        let mode = |mode: &Mode| json!({ "name": mode.name, "flags": mode.flags, "faulty": mode.faulty });
        let modes: Vec<Value> = self.modes.iter().map(mode).collect();
        json!({ "name": self.name, "number": number, "kind": kind, "queues": self.queues, "asks": modes, "thorough": life_cycle })
    }

    /// Names of the modes requested of the server.
    pub(super) fn modes(&self) -> impl Iterator<Item = &'static str> {
        self.modes.iter().map(|mode| mode.name)
    }
}
