use super::super::check::Severity::{self, Info, Ok, Problem, Warning};
use super::super::facts::InterfaceFacts;
use super::super::host::{HostFacts, tests::good as host};
use super::super::procfs::RunningProcess;
use crate::interface::{
    Address, AttachedXdpMode, Channels, Features, FlowHash, Interface, NapiSettings, RingSizes,
    XdpAttachment, XdpFeatures,
};

/// A NIC with two queues and no faults.
pub(in super::super) fn good() -> InterfaceFacts {
    InterfaceFacts {
        interface: Interface {
            index: 2,
            name: "eth0".into(),
            alternative_names: vec![],
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            kind: None,
            ethernet: true,
            loopback: false,
            up: true,
            running: true,
            promiscuous: false,
            master: None,
            lower: None,
            xdp: None,
            device: None,
        },
        driver: Some("mlx5_core".into()),
        queues: 2,
        channels: Some(Channels { combined: 2, combined_max: 2, ..Channels::default() }),
        rings: Some(RingSizes { receive: Some(1024), transmit: Some(1024), ..RingSizes::default() }),
        features: Some(Features::with(&["rx-gro"], &["rx-gro", "rx-lro", "rx-vlan-hw-parse"])),
        flow_hash: Some(FlowHash { udp4_ports: Some(true), udp6_ports: Some(true) }),
        xdp: Some(XdpFeatures::with(&["basic", "redirect", "xsk-zerocopy"])),
        napi: Some(NapiSettings { defer_hard_irqs: 0, gro_flush_timeout: 0, threaded: Some(0) }),
        addresses: vec![address("192.0.2.1", false)],
        master: None,
        members: vec![],
        lower: None,
        vlans: vec![],
        holder: None,
    }
}

fn address(ip: &str, tentative: bool) -> Address {
    Address { ifindex: 2, ip: ip.parse().unwrap(), prefix: 24, broadcast: None, tentative, deprecated: false }
}

fn checked(facts: &InterfaceFacts, host: &HostFacts, name: &str) -> (Severity, String, String) {
    let check = facts.check(host).into_iter().find(|check| check.check == name).unwrap();
    assert!(check.severity < Warning || check.fix.is_some(), "a bad result has a fix: {check:?}");
    (check.severity, check.found, check.fix.unwrap_or_default())
}

fn changed(change: impl FnOnce(&mut InterfaceFacts)) -> InterfaceFacts {
    let mut facts = good();
    change(&mut facts);
    facts
}

#[test]
fn a_good_nic_has_no_warnings() {
    for check in good().check(&host()) {
        assert!(check.severity <= Ok && check.fix.is_none(), "{check:?}");
    }
}

#[test]
fn a_link_that_is_down_is_a_problem() {
    let down = changed(|facts| facts.interface.up = false);
    assert_eq!(checked(&down, &host(), "link"), (Problem, "down".into(), "ip link set dev eth0 up".into()));
    assert_eq!(checked(&changed(|facts| facts.interface.running = false), &host(), "link").0, Warning);
}

#[test]
fn the_fix_names_the_right_device() {
    let fix = |change: &dyn Fn(&mut InterfaceFacts)| {
        let (severity, _, fix) = checked(&changed(change), &host(), "kind");
        assert_eq!(severity, Warning);
        fix
    };
    let vlan = fix(&|facts| {
        facts.interface.kind = Some("vlan".into());
        facts.lower = Some("enp3s0".into());
    });
    assert!(vlan.contains("--interface enp3s0 --listen"), "{vlan}");
    let bond = fix(&|facts| {
        facts.interface.kind = Some("bond".into());
        facts.members = vec!["a".into(), "b".into()];
    });
    assert!(bond.contains("--interface a --interface b --listen"), "{bond}");
    fix(&|facts| facts.interface.kind = Some("bridge".into()));
    fix(&|facts| facts.interface.ethernet = false);
    let member = changed(|facts| facts.master = Some(("bond0".into(), "bond".into())));
    assert_eq!(checked(&member, &host(), "member").0, Warning);
    let bare = InterfaceFacts { addresses: vec![], ..member };
    assert_eq!(checked(&bare, &host(), "addresses").0, Info, "the bond has them");
}

#[test]
fn tentative_addresses_are_listed_separately() {
    let tentative = changed(|facts| facts.addresses.push(address("2001:db8::1", true)));
    let (severity, found, _) = checked(&tentative, &host(), "addresses");
    assert_eq!(severity, Warning);
    assert!(found.starts_with("192.0.2.1; not usable") && found.ends_with("2001:db8::1"), "{found}");
    assert_eq!(checked(&changed(|facts| facts.addresses.clear()), &host(), "addresses").0, Warning);
}

#[test]
fn an_attached_program_is_named_with_its_holder() {
    let attached = |holder: Option<&str>| {
        changed(|facts| {
            facts.interface.xdp = Some(XdpAttachment { program_id: 42, mode: AttachedXdpMode::Native });
            facts.holder = holder.map(|name| RunningProcess { pid: 7, name: name.into() });
        })
    };
    let (severity, found, fix) = checked(&attached(None), &host(), "attached");
    assert_eq!((severity, found.as_str()), (Problem, "XDP program 42 (native)"));
    assert!(fix.contains("bpftool prog show id 42") && fix.contains("ip link set dev eth0 xdp off"), "{fix}");
    let (severity, found, fix) = checked(&attached(Some("suricata")), &host(), "attached");
    assert_eq!(severity, Problem);
    assert!(found.ends_with("held by suricata (pid 7)") && fix.contains("suricata"), "{found}; {fix}");
    assert_eq!(checked(&attached(Some("xstun")), &host(), "attached").0, Info);
}

#[test]
fn queues_are_compared_with_cores() {
    let queues = |queues, maximum, cores| {
        let facts = changed(|facts| {
            facts.queues = queues;
            facts.channels = Some(Channels { combined_max: maximum, ..Channels::default() });
        });
        checked(&facts, &HostFacts { cores, ..host() }, "queues").2
    };
    assert_eq!(queues(1, 8, 4), "ethtool -L eth0 combined 4");
    assert_eq!(queues(1, 2, 4), "ethtool -L eth0 combined 2");
    assert_eq!(queues(8, 8, 4), "ethtool -L eth0 combined 4");
    assert_eq!(queues(4, 8, 4), "");
    let separate = changed(|facts| {
        facts.queues = 1;
        facts.channels = Some(Channels { receive: 1, receive_max: 2, ..Channels::default() });
    });
    assert_eq!(checked(&separate, &host(), "queues").2, "ethtool -L eth0 rx 2");
}

#[test]
fn a_hash_without_ports_is_a_warning() {
    let hash =
        |udp4, udp6| changed(|facts| facts.flow_hash = Some(FlowHash { udp4_ports: udp4, udp6_ports: udp6 }));
    let (severity, _, fix) = checked(&hash(Some(true), Some(false)), &host(), "UDP hash");
    assert_eq!((severity, fix.as_str()), (Warning, "ethtool -N eth0 rx-flow-hash udp6 sdfn"));
    let both = checked(&hash(Some(false), Some(false)), &host(), "UDP hash").2;
    assert!(both.contains("udp4 sdfn && ethtool"), "{both}");
    assert_eq!(checked(&hash(None, None), &host(), "UDP hash").0, Info);
    let single = changed(|facts| facts.queues = 1);
    assert!(single.check(&host()).iter().all(|check| check.check != "UDP hash"));
}

#[test]
fn the_mtu_is_compared_with_frame_kernel_and_driver() {
    let with = |mtu, features: &[&str]| {
        changed(|facts| {
            facts.interface.mtu = mtu;
            facts.xdp = Some(XdpFeatures::with(features));
        })
    };
    let old = HostFacts { kernel: (5, 15), ..host() };
    let single = ["basic", "redirect"];
    let multi = ["basic", "redirect", "rx-sg"];
    assert_eq!(checked(&with(1778, &single), &host(), "MTU").0, Ok);
    assert_eq!(checked(&with(1779, &single), &host(), "MTU").0, Info);
    assert_eq!(checked(&with(9000, &multi), &host(), "MTU").0, Info);
    assert_eq!(checked(&with(9000, &single), &host(), "MTU").0, Warning);
    let (severity, found, fix) = checked(&with(9000, &multi), &old, "MTU");
    assert_eq!((severity, fix.as_str()), (Warning, "ip link set dev eth0 mtu 1500"));
    assert!(found.contains("5.18"), "{found}");
}

#[test]
fn offloads_that_change_frames_are_reported_with_a_fix() {
    let with = |active: &[&str]| changed(|facts| facts.features = Some(Features::with(active, &["rx-lro"])));
    let (severity, _, fix) = checked(&with(&["rx-lro"]), &host(), "coalescing");
    assert_eq!((severity, fix.as_str()), (Warning, "ethtool -K eth0 rx-lro off"));
    let (severity, _, fix) = checked(&with(&["rx-gro-hw"]), &host(), "coalescing");
    assert_eq!(severity, Warning);
    assert!(fix.contains("ethtool cannot"), "{fix}");
    let mut tagged = with(&["rx-vlan-hw-parse"]);
    assert_eq!(checked(&tagged, &host(), "VLAN tags").0, Info);
    tagged.vlans = vec!["eth0.5".into()];
    let (severity, found, fix) = checked(&tagged, &host(), "VLAN tags");
    assert_eq!((severity, fix.as_str()), (Warning, "ethtool -K eth0 rxvlan off"));
    assert!(found.contains("eth0.5"), "{found}");
}

#[test]
fn a_driver_without_native_xdp_is_a_warning() {
    let without = changed(|facts| facts.xdp = Some(XdpFeatures::with(&["basic"])));
    let (severity, found, _) = checked(&without, &host(), "driver");
    assert_eq!(severity, Warning);
    assert!(found.contains("requires basic and redirect"), "{found}");
    assert_eq!(checked(&changed(|facts| facts.xdp = None), &host(), "driver").0, Info);
}

#[test]
fn one_napi_setting_without_the_other_is_a_warning() {
    let napi = |defer_hard_irqs, gro_flush_timeout| {
        changed(|facts| {
            facts.napi = Some(NapiSettings { defer_hard_irqs, gro_flush_timeout, threaded: None });
        })
    };
    assert_eq!(checked(&napi(2, 0), &host(), "NAPI").0, Warning);
    assert_eq!(checked(&napi(2, 200_000), &host(), "NAPI").0, Info);
    assert_eq!(checked(&changed(|facts| facts.napi = None), &host(), "NAPI").0, Info);
}
