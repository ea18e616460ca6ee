//! Queries of interfaces, and `xstun doctor`, against a real kernel.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod namespace;

use namespace::{inside, ip};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use xstun::doctor::{Check, Severity, examine};
use xstun::error::FailureKind;
use xstun::interface::{
    Address, DriverCounters, NapiSettings, Neighbour, Watch, addresses, all, channels, driver, features,
    find, reachable_neighbours, receive_queues, xdp_features,
};
use xstun::kernel::running;
use xstun_testkit::wait::uninterrupted;

#[test]
fn loopback_is_found_without_root() {
    let lo = find("lo").unwrap();
    assert!(lo.loopback && !lo.ethernet);
    assert!(all().unwrap().iter().any(|interface| interface.index == lo.index));
    let unknown = find("xstun-none").unwrap_err();
    assert_eq!(unknown.kind(), FailureKind::Usage);
    assert!(unknown.to_string().contains("'xstun-none' (--interface)"), "{unknown}");
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_veth_ends_properties_are_read() {
    inside("a_veth_ends_properties_are_read", || {
        ip("link set va mtu 3000");
        ip("link set va address 02:00:00:00:00:0a");
        ip("link set va promisc on");
        // The kernel updates this state asynchronously.
        let settle = |name: &str, running: bool| {
            let watch = Watch::new().unwrap();
            while find(name).unwrap().running != running {
                assert!(readable(&watch), "{name} does not become running: {running}");
                watch.drain().unwrap();
            }
        };
        settle("va", true);
        let va = find("va").unwrap();
        assert_eq!((va.mac, va.mtu), ([2, 0, 0, 0, 0, 10], 3000));
        assert_eq!(va.kind.as_deref(), Some("veth"));
        assert!(va.ethernet && va.up && va.running && va.promiscuous && !va.loopback);
        assert_eq!(va.lower, Some(find("vb").unwrap().index));
        assert_eq!(va.xdp, None);
        assert_eq!(driver(&va).as_deref(), Some("veth"));
        assert_eq!(receive_queues(&va), 2);
        let channels = channels(&va).unwrap();
        assert_eq!((channels.receive, channels.transmit, channels.combined), (2, 2, 0));
        ip("link set va down");
        assert!(!find("va").unwrap().up);
        settle("vb", false);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_bridge_port_knows_its_bridge() {
    inside("a_bridge_port_knows_its_bridge", || {
        ip("link add name br type bridge");
        ip("link set vb master br");
        let bridge = find("br").unwrap();
        assert_eq!(find("vb").unwrap().master, Some(bridge.index));
        assert_eq!(bridge.kind.as_deref(), Some("bridge"));
        ip("link property add dev br altname the-bridge");
        assert_eq!(find("the-bridge").unwrap().name, "br");
    });
}

/// The sum of `ethtool -S`.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_drivers_counters_are_read_as_ethtool_reads_them() {
    inside("the_drivers_counters_are_read_as_ethtool_reads_them", || {
        let va = find("va").unwrap();
        let counters = DriverCounters::read(&va).expect("veth counts");
        assert_eq!(counters.transmit_errors(), Some(0));
        let shown = std::process::Command::new("ethtool").args(["-S", "va"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let counters = format!("{counters:?}");
        let names: Vec<_> = shown.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
        assert!(names.len() > 5, "{shown}");
        for (name, value) in names {
            assert!(counters.contains(&format!("(\"{}\", {value})", name.trim())), "{name} in {counters}");
        }
        assert_eq!(DriverCounters::read(&find("lo").unwrap()), None, "the loopback interface has none");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_neighbours_that_answered_of_late_are_listed() {
    inside("only_neighbours_that_answered_of_late_are_listed", || {
        ip("neigh add 192.0.2.1 dev va lladdr 02:00:00:00:00:01 nud reachable");
        ip("neigh add 192.0.2.2 dev va lladdr 02:00:00:00:00:02 nud stale");
        ip("neigh add 2001:db8::3 dev va lladdr 02:00:00:00:00:03 nud reachable");
        ip("neigh add 192.0.2.4 dev vb lladdr 02:00:00:00:00:04 nud reachable");
        let mut listed = reachable_neighbours(&find("va").unwrap()).unwrap();
        listed.sort_by_key(|neighbour| neighbour.ip);
        let neighbour = |ip: &str, last| Neighbour { ip: ip.parse().unwrap(), mac: [2, 0, 0, 0, 0, last] };
        assert_eq!(listed, [neighbour("192.0.2.1", 1), neighbour("2001:db8::3", 3)]);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn offloads_are_read_by_name() {
    inside("offloads_are_read_by_name", || {
        let va = find("va").unwrap();
        let switch = |to: &str| {
            let status = std::process::Command::new("ethtool").args(["-K", "va", "gro", to]).status();
            assert!(status.unwrap().success());
            features(&va).unwrap()
        };
        assert!(switch("on").is_active("rx-gro"));
        let off = switch("off");
        assert!(!off.is_active("rx-gro") && off.is_changeable("rx-gro"));
        assert!(!off.is_changeable("rx-lro"));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_veth_end_has_native_xdp_but_no_zero_copy() {
    inside("a_veth_end_has_native_xdp_but_no_zero_copy", || {
        let Some(xdp) = xdp_features(&find("va").unwrap()) else {
            assert!(running() < (6, 3), "Linux 6.3 and later expose XDP features");
            return;
        };
        assert!(xdp.basic() && xdp.redirect());
        assert!(!xdp.zero_copy());
        assert!(!xdp_features(&find("lo").unwrap()).unwrap().basic());
    });
}

fn has_address(index: u32, address: &str) -> Option<Address> {
    let address: IpAddr = address.parse().unwrap();
    addresses(Some(index)).unwrap().into_iter().find(|found| found.ip == address)
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn addresses_are_listed_and_their_changes_seen() {
    inside("addresses_are_listed_and_their_changes_seen", || {
        let va = find("va").unwrap();
        let v4 = has_address(va.index, "192.0.2.1").unwrap();
        assert_eq!((v4.prefix, v4.broadcast), (24, Some("192.0.2.255".parse().unwrap())));
        let v6 = has_address(va.index, "2001:db8::1").unwrap();
        assert_eq!((v6.prefix, v6.tentative, v6.deprecated), (64, false, false));
        assert!(addresses(Some(find("vb").unwrap().index)).unwrap().iter().all(|a| a.ip != v4.ip));
        assert!(addresses(None).unwrap().iter().any(|address| address.ip.is_loopback()));

        let watch = Watch::new().unwrap();
        ip("addr add 198.51.100.7 peer 198.51.100.9/32 dev va");
        assert!(readable(&watch));
        assert!(watch.drain().unwrap().addresses);
        assert!(has_address(va.index, "198.51.100.7").is_some());
        assert!(has_address(va.index, "198.51.100.9").is_none(), "the peer's address is not the host's");

        ip("addr del 198.51.100.7 peer 198.51.100.9/32 dev va");
        assert!(readable(&watch));
        assert!(watch.drain().unwrap().addresses);
        assert!(has_address(va.index, "198.51.100.7").is_none());

        ip("link set vb down");
        assert!(readable(&watch));
        assert!(watch.drain().unwrap().links);
    });
}

/// Whether an event can be read within 30 s; the limit only ends a failing test.
fn readable(watch: &Watch) -> bool {
    let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
    uninterrupted(|| Ok(poll(&mut fds, Some(&limit))?)).unwrap() == 1
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_overflow_of_the_queue_is_reported_as_a_change() {
    inside("an_overflow_of_the_queue_is_reported_as_a_change", || {
        let watch = Watch::new().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let batch: String = (0..1500)
            .map(|n| format!("link set va mtu {}\nlink set vb mtu {}\n", 1400 + n % 2, 1400 + n % 2))
            .collect();
        std::fs::write(file.path(), batch).unwrap();
        ip(&format!("-batch {}", file.path().display()));
        assert!(readable(&watch));
        let seen = watch.drain().unwrap();
        assert!(seen.links);
        // The queue holds far fewer than 3,000 link messages, so it overflowed: addresses may have
        // changed too.
        assert!(seen.addresses);
        while watch.drain().unwrap().any() {}
        ip("addr add 198.51.100.7/24 dev va");
        assert!(readable(&watch), "events are received after the overflow");
        assert!(watch.drain().unwrap().addresses);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn napi_settings_are_written_and_restored() {
    inside("napi_settings_are_written_and_restored", || {
        let va = find("va").unwrap();
        let file = |name: &str| {
            std::fs::read_to_string(format!("/sys/class/net/va/{name}")).unwrap().trim().to_owned()
        };
        let before = NapiSettings::read(&va).unwrap();
        before.for_busy_polling().write(&va).unwrap();
        assert_eq!(file("napi_defer_hard_irqs"), "2");
        assert_eq!(file("gro_flush_timeout"), "200000");
        before.write(&va).unwrap();
        assert_eq!(NapiSettings::read(&va).unwrap(), before);
        assert_eq!(file("gro_flush_timeout"), before.gro_flush_timeout.to_string());

        let mut other = va.clone();
        other.index += 1000;
        let error = NapiSettings::read(&other).unwrap_err().to_string();
        assert!(error.contains("/sys/class/net/va"), "{error}");
    });
}

/// Runs the doctor on `va`, and returns the check of this name.
fn check_of_va(name: &str) -> Check {
    let report = examine(&["va".to_owned()], true).unwrap();
    let (_, checks) = report.interfaces.into_iter().find(|(interface, _)| interface == "va").unwrap();
    checks.into_iter().find(|check| check.check == name).unwrap()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_doctor_predicts_the_mode_on_a_veth_end() {
    inside("the_doctor_predicts_the_mode_on_a_veth_end", || {
        let serve = check_of_va("serve").found;
        // Before Linux 6.3 this comes from the table of drivers, later from the kernel.
        assert!(serve.starts_with("native XDP; copy mode (veth has no zero-copy"), "{serve}");
        assert!(serve.contains("); 2 queues on "), "{serve}");
        assert_eq!(check_of_va("addresses").severity, Severity::Ok);
        assert!(check_of_va("addresses").found.contains("192.0.2.1"));
        assert_eq!(check_of_va("attached").severity, Severity::Ok);

        ip("link set va mtu 3000");
        assert!(check_of_va("MTU").found.starts_with("3000: "));
        ip("addr flush dev va");
        assert_eq!(check_of_va("addresses").severity, Severity::Warning);
        ip("link set va down");
        assert_eq!(check_of_va("link").severity, Severity::Problem);
        assert_eq!(check_of_va("serve").found, "sockets only: the interface is down");
        let up: Vec<_> = examine(&[], true).unwrap().interfaces.into_iter().map(|(name, _)| name).collect();
        assert_eq!(up, ["vb"], "all interfaces that are up, except loopback");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_doctor_names_the_process_on_the_stun_port() {
    inside("the_doctor_names_the_process_on_the_stun_port", || {
        let port = || {
            let report = examine(&["va".to_owned()], true).unwrap();
            report.host.into_iter().find(|check| check.check == "port").unwrap()
        };
        assert_eq!(port().severity, Severity::Ok);
        let taken = std::net::UdpSocket::bind("[2001:db8::1]:3478").unwrap();
        let found = port();
        assert_eq!(found.severity, Severity::Problem);
        let holder = format!("(pid {})", std::process::id());
        assert!(found.found.contains("[2001:db8::1]:3478 by ") && found.found.contains(&holder), "{found:?}");
        drop(taken);
        assert_eq!(port().severity, Severity::Ok);
    });
}

#[test]
fn the_doctor_refuses_an_unknown_interface() {
    let unknown = examine(&["xstun-none".to_owned()], true).unwrap_err();
    assert_eq!(unknown.kind(), FailureKind::Usage);
}
