use super::super::facts::Facts;
use super::super::host::{Host, tests::good as host};
use super::super::interface::tests::good;
use super::outlook;
use crate::interface::{Features, XdpAttachment, XdpFeatures, XdpMode};

fn told(host: &Host, change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = good();
    change(&mut facts);
    outlook(&facts, host).found
}

#[test]
fn a_trusted_driver_gets_zero_copy_a_queue_a_core() {
    assert_eq!(
        told(&host(), |_| {}),
        "native XDP; zero-copy, or copy mode where the bind is refused; 2 queues on 2 cores"
    );
    assert!(told(&host(), |facts| facts.queues = 8).ends_with("8 queues on 2 cores"));
    assert!(told(&host(), |facts| facts.queues = 1).ends_with("1 queue on 1 core"));
}

#[test]
fn an_untrusted_driver_gets_copy_mode_and_the_reason() {
    let ice = told(&host(), |facts| facts.driver = Some("ice".into()));
    assert!(ice.contains("copy mode (zero-copy of ice is not trusted: ") && ice.contains("#11245"), "{ice}");
    let veth = told(&host(), |facts| {
        facts.driver = Some("veth".into());
        facts.xdp = Some(XdpFeatures::with(&["basic", "redirect", "rx-sg"]));
    });
    assert_eq!(veth, "native XDP; copy mode (veth has no zero-copy here); 2 queues on 2 cores");
}

#[test]
fn each_step_down_is_told() {
    let generic = told(&host(), |facts| facts.xdp = Some(XdpFeatures::default()));
    assert_eq!(generic, "generic XDP (the driver has no native XDP); copy mode; 2 queues on 2 cores");
    let jumbo = told(&Host { kernel: (5, 15), ..host() }, |facts| facts.interface.mtu = 9000);
    assert!(jumbo.starts_with("generic XDP (multi-buffer frames need Linux 5.18)"), "{jumbo}");
    let vlan = told(&host(), |facts| facts.interface.kind = Some("vlan".into()));
    assert!(vlan.starts_with("generic XDP (a vlan"), "{vlan}");
    let merging = told(&host(), |facts| facts.features = Some(Features::with(&["rx-lro"], &[])));
    assert!(merging.starts_with("native XDP unless"), "{merging}");
    // Where the kernel does not tell, the table of drivers does, as far as it goes.
    let untold = |driver: &str| {
        told(&host(), |facts| {
            facts.xdp = None;
            facts.driver = Some(driver.to_owned());
        })
    };
    assert!(untold("unheard_of").starts_with("native XDP if the driver has it"), "{}", untold("unheard_of"));
    assert!(untold("virtio_net").starts_with("native XDP; "), "{}", untold("virtio_net"));
    assert!(
        untold("e1000e").starts_with("generic XDP (the driver has no native XDP)"),
        "{}",
        untold("e1000e")
    );
}

#[test]
fn what_keeps_af_xdp_away_is_told() {
    let sockets = |host: &Host, change: &dyn Fn(&mut Facts), reason: &str| {
        let found = told(host, change);
        assert!(found.starts_with("sockets only, since ") && found.contains(reason), "{found}");
    };
    sockets(&host(), &|facts| facts.interface.ethernet = false, "no Ethernet");
    sockets(&host(), &|facts| facts.interface.up = false, "down");
    sockets(&host(), &|facts| facts.interface.kind = Some("bond".into()), "members");
    sockets(&Host { ebpf_object: false, ..host() }, &|_| {}, "not built in");
    sockets(&Host { capabilities: 0, ..host() }, &|_| {}, "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF");
    let attached = XdpAttachment { program_id: 42, mode: XdpMode::Generic };
    sockets(&host(), &|facts| facts.interface.xdp = Some(attached), "42");
}
