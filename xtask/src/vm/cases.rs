//! The NICs of a guest, and what is asked of the server on each.

use serde_json::{Value, json};

/// A way to ask for a rung.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// As the table has it.
    name: &'static str,
    /// Flags of `xstun serve`.
    flags: &'static [&'static str],
}

const AUTO: Ask = Ask { name: "auto", flags: &[] };
const NATIVE: Ask = Ask { name: "native", flags: &["--xdp-mode", "native"] };
const GENERIC: Ask = Ask { name: "generic", flags: &["--xdp-mode", "generic"] };
const COPY: Ask = Ask { name: "copy", flags: &["--bind-mode", "copy"] };
const ZERO_COPY: Ask = Ask { name: "zero-copy", flags: &["--bind-mode", "zero-copy"] };

/// What the server's side of a pair is.
#[derive(Clone, Copy, Debug)]
enum Device {
    /// A NIC that qemu emulates: its model and properties. Its peer is a plain virtio NIC.
    Nic { model: &'static str, properties: &'static str },
    /// One end of a virtual cable.
    Veth,
    /// The loopback interface.
    Loopback,
}

/// One NIC with its wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// As the table has it.
    pub(super) name: &'static str,
    device: Device,
    /// Receive queues.
    pub(super) queues: u32,
    asks: &'static [Ask],
    /// Where a server on it goes through all of its life, asked for `auto`.
    life: Life,
}

/// On which kernels. Each life takes an emulated guest a minute or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    All,
    /// Every one, with `--thorough`: another NIC's life is nearly the same.
    Thorough,
    None,
}

/// How much a kernel's guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// Each rung, and the life of [`Life::All`].
    Rungs,
    /// The tests of `userspace/tests` as well.
    Whole,
    /// Everything.
    Thorough,
}

/// What a virtio NIC must not do for native XDP to be had. Offloads that can be switched off by the
/// guest are switched off by the driver itself, so these are taken away for good.
const NO_OFFLOADS: &str = "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off,disable-legacy=on,iommu_platform=on";
const NO_OFFLOADS_NO_IOMMU: &str =
    "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off,disable-legacy=on";

/// Every NIC of a guest.
pub(super) const CASES: [Case; 9] = [
    Case {
        name: "virtio, iommu_platform",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS },
        queues: 1,
        asks: &[AUTO, ZERO_COPY, COPY, GENERIC],
        life: Life::Thorough,
    },
    Case {
        name: "virtio, iommu_platform, 2 queues",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS },
        queues: 2,
        asks: &[AUTO],
        life: Life::All,
    },
    Case {
        name: "virtio",
        device: Device::Nic { model: "virtio-net-pci", properties: NO_OFFLOADS_NO_IOMMU },
        queues: 1,
        asks: &[AUTO, ZERO_COPY],
        life: Life::None,
    },
    Case {
        name: "virtio, fixed offloads",
        device: Device::Nic {
            model: "virtio-net-pci",
            properties: "ctrl_guest_offloads=off,disable-legacy=on",
        },
        queues: 1,
        asks: &[AUTO, NATIVE],
        life: Life::None,
    },
    Case {
        name: "e1000",
        device: Device::Nic { model: "e1000", properties: "" },
        queues: 1,
        asks: &[AUTO],
        life: Life::Thorough,
    },
    Case {
        name: "e1000e",
        device: Device::Nic { model: "e1000e", properties: "" },
        queues: 1,
        asks: &[AUTO],
        life: Life::None,
    },
    Case {
        name: "vmxnet3",
        device: Device::Nic { model: "vmxnet3", properties: "" },
        queues: 1,
        asks: &[AUTO],
        life: Life::Thorough,
    },
    Case { name: "veth", device: Device::Veth, queues: 2, asks: &[AUTO, ZERO_COPY], life: Life::None },
    Case { name: "loopback", device: Device::Loopback, queues: 1, asks: &[AUTO], life: Life::None },
];

/// The cases whose name has this in it, each with the number that its addresses are made of.
pub(super) fn select(only: Option<&str>) -> Vec<(usize, Case)> {
    let all = CASES.into_iter().enumerate();
    all.filter(|(_, case)| only.is_none_or(|only| case.name.contains(only))).collect()
}

impl Case {
    /// Whether a wire of the host leads to it.
    pub(super) fn is_nic(&self) -> bool {
        matches!(self.device, Device::Nic { .. })
    }

    /// What qemu is told of both NICs. `number` is that of [`select`].
    pub(super) fn arguments(&self, number: usize) -> Vec<String> {
        let Device::Nic { model, properties } = self.device else { return Vec::new() };
        let Case { queues, .. } = self;
        let mut device = format!("{model},netdev=s{number},mac=02:00:00:00:{number:02x}:01");
        let mut backend = format!("tap,id=s{number},ifname=s{number},script=no,downscript=no");
        if *queues > 1 {
            // Two interrupts a queue pair, one for the configuration and one for the control queue.
            device.push_str(&format!(",mq=on,vectors={}", 2 * queues + 2));
            backend.push_str(&format!(",queues={queues}"));
        }
        if !properties.is_empty() {
            device.push_str(&format!(",{properties}"));
        }
        let peer = format!("virtio-net-pci,netdev=c{number},mac=02:00:00:00:{number:02x}:02");
        let peer_backend = format!("tap,id=c{number},ifname=c{number},script=no,downscript=no");
        let words = ["-netdev", &backend, "-device", &device, "-netdev", &peer_backend, "-device", &peer];
        words.map(str::to_owned).to_vec()
    }

    /// What the guest's test program is told.
    pub(super) fn told(&self, number: usize, depth: Depth) -> Value {
        let life = match self.life {
            Life::All => true,
            Life::Thorough => depth == Depth::Thorough,
            Life::None => false,
        };
        let kind = match self.device {
            Device::Nic { .. } => "nic",
            Device::Veth => "veth",
            Device::Loopback => "loopback",
        };
        let asks: Vec<Value> =
            self.asks.iter().map(|ask| json!({ "name": ask.name, "flags": ask.flags })).collect();
        json!({ "name": self.name, "number": number, "kind": kind, "queues": self.queues, "asks": asks, "thorough": life })
    }

    /// Name of each way in which this one is asked.
    pub(super) fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asks.iter().map(|ask| ask.name)
    }
}
