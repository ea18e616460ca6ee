use super::super::facts::InterfaceFacts;
use super::super::host::{HostFacts, tests::good as host};
use super::super::interface::tests::good;
use super::{check_kernel_answers, predict};
use crate::interface::{AttachedXdpMode, Features, XdpAttachment, XdpFeatures};

fn predicted(host: &HostFacts, change: impl FnOnce(&mut InterfaceFacts)) -> String {
    let mut facts = good();
    change(&mut facts);
    predict(&facts, host).found
}

#[test]
fn a_trusted_driver_gets_zero_copy() {
    assert_eq!(
        predicted(&host(), |_| {}),
        "native XDP; zero-copy, or copy mode if the bind is refused; 2 queues on 2 cores; plain requests answered by \
         the workers"
    );
    let virtio =
        predicted(&HostFacts { kernel: (6, 18), ..host() }, |facts| facts.driver = Some("virtio_net".into()));
    assert!(virtio.contains("or with --busy-poll (virtio_net polls its transmit queue apart"), "{virtio}");
    assert!(predicted(&host(), |facts| facts.queues = 8).contains("; 8 queues on 2 cores;"));
    assert!(predicted(&host(), |facts| facts.queues = 1).contains("; 1 queue on 1 core;"));
}

#[test]
fn an_untrusted_driver_gets_copy_mode_and_the_reason() {
    let ice = predicted(&host(), |facts| facts.driver = Some("ice".into()));
    assert!(ice.contains("copy mode (zero-copy of ice is not trusted: ") && ice.contains("#11245"), "{ice}");
    let veth = predicted(&host(), |facts| {
        facts.driver = Some("veth".into());
        facts.xdp = Some(XdpFeatures::with(&["basic", "redirect", "rx-sg"]));
    });
    assert_eq!(
        veth,
        "native XDP; copy mode (veth has no zero-copy here); 2 queues on 2 cores; plain requests answered by the workers"
    );
}

#[test]
fn each_step_down_has_a_reason() {
    let generic = predicted(&host(), |facts| facts.xdp = Some(XdpFeatures::default()));
    assert_eq!(
        generic,
        "generic XDP (the driver has no native XDP); copy mode; 2 queues on 2 cores; plain requests answered by the \
         XDP program"
    );
    let jumbo = predicted(&HostFacts { kernel: (5, 15), ..host() }, |facts| facts.interface.mtu = 9000);
    assert!(jumbo.starts_with("generic XDP (multi-buffer frames require Linux 5.18)"), "{jumbo}");
    let vlan = predicted(&host(), |facts| facts.interface.kind = Some("vlan".into()));
    assert!(vlan.starts_with("generic XDP (a vlan"), "{vlan}");
    let merging = predicted(&host(), |facts| facts.features = Some(Features::with(&["rx-lro"], &[])));
    assert!(merging.starts_with("native XDP unless"), "{merging}");
    // If the kernel does not report XDP features, the driver table decides.
    let by_table = |driver: &str| {
        predicted(&host(), |facts| {
            facts.xdp = None;
            facts.driver = Some(driver.to_owned());
        })
    };
    assert!(
        by_table("unheard_of").starts_with("native XDP if the driver has it"),
        "{}",
        by_table("unheard_of")
    );
    assert!(by_table("virtio_net").starts_with("native XDP; "), "{}", by_table("virtio_net"));
    assert!(
        by_table("e1000e").starts_with("generic XDP (the driver has no native XDP)"),
        "{}",
        by_table("e1000e")
    );
}

#[test]
fn kernel_answers_are_recommended_by_the_driver_table() {
    let checked = |change: &dyn Fn(&mut InterfaceFacts)| {
        let mut facts = good();
        change(&mut facts);
        check_kernel_answers(&facts, &host())
    };
    let of_driver = |driver: &str, features: &[&str]| {
        checked(&|facts| {
            facts.driver = Some(driver.to_owned());
            facts.xdp = Some(XdpFeatures::with(features));
        })
        .unwrap()
    };
    let ena = of_driver("ena", &["basic", "redirect"]);
    assert_eq!((&ena.found[..], &ena.fix), ("on: copy mode, and the XDP_TX of ena is trusted", &None));
    let generic = of_driver("ena", &[]);
    assert!(generic.found.starts_with("on: generic mode") && generic.fix.is_none(), "{generic:?}");
    let zero_copy = checked(&|_| {}).unwrap();
    assert_eq!((&zero_copy.found[..], &zero_copy.fix), ("off: zero-copy serves", &None));
    // The driver is trusted, but the device has no zero-copy.
    let copy = of_driver("virtio_net", &["basic", "redirect"]);
    assert!(copy.found.starts_with("on: copy mode"), "{copy:?}");
    let veth = of_driver("veth", &["basic", "redirect"]);
    assert!(
        veth.found.starts_with("off: ") && veth.fix.as_ref().unwrap().contains("the other end"),
        "{veth:?}"
    );
    let ice = of_driver("ice", &["basic", "redirect"]);
    assert!(ice.fix.as_ref().unwrap().contains("--kernel-answers on"), "{ice:?}");
    assert_eq!(checked(&|facts| facts.interface.up = false), None);
}

#[test]
fn the_reason_for_sockets_only_is_named() {
    let sockets = |host: &HostFacts, change: &dyn Fn(&mut InterfaceFacts), reason: &str| {
        let found = predicted(host, change);
        assert!(found.starts_with("sockets only: ") && found.contains(reason), "{found}");
    };
    sockets(&host(), &|facts| facts.interface.ethernet = false, "not an Ethernet interface");
    sockets(&host(), &|facts| facts.interface.up = false, "down");
    sockets(&host(), &|facts| facts.interface.kind = Some("bond".into()), "members");
    sockets(&HostFacts { ebpf_object: false, ..host() }, &|_| {}, "not built in");
    sockets(&HostFacts { capabilities: 0, ..host() }, &|_| {}, "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF");
    let attached = XdpAttachment { program_id: 42, mode: AttachedXdpMode::Generic };
    sockets(&host(), &|facts| facts.interface.xdp = Some(attached), "42");
}
