use super::super::facts::InterfaceFacts;
use super::super::host::{HostFacts, tests::good as host};
use super::super::interface::tests::good;
use super::predict;
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
        "native XDP; zero-copy, or copy mode if the bind is refused; 2 queues on 2 cores"
    );
    let virtio =
        predicted(&HostFacts { kernel: (6, 18), ..host() }, |facts| facts.driver = Some("virtio_net".into()));
    assert!(virtio.contains("or with --busy-poll (virtio_net polls its transmit queue apart"), "{virtio}");
    assert!(predicted(&host(), |facts| facts.queues = 8).ends_with("8 queues on 2 cores"));
    assert!(predicted(&host(), |facts| facts.queues = 1).ends_with("1 queue on 1 core"));
}

#[test]
fn an_untrusted_driver_gets_copy_mode_and_the_reason() {
    let ice = predicted(&host(), |facts| facts.driver = Some("ice".into()));
    assert!(ice.contains("copy mode (zero-copy of ice is not trusted: ") && ice.contains("#11245"), "{ice}");
    let veth = predicted(&host(), |facts| {
        facts.driver = Some("veth".into());
        facts.xdp = Some(XdpFeatures::with(&["basic", "redirect", "rx-sg"]));
    });
    assert_eq!(veth, "native XDP; copy mode (veth has no zero-copy here); 2 queues on 2 cores");
}

#[test]
fn each_step_down_has_a_reason() {
    let generic = predicted(&host(), |facts| facts.xdp = Some(XdpFeatures::default()));
    assert_eq!(generic, "generic XDP (the driver has no native XDP); copy mode; 2 queues on 2 cores");
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
