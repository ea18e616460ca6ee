use super::{Config, CredentialsConfig, KernelAnswersArg, ranges};
use crate::cli::{Cli, Command};
use crate::error::FailureKind;
use clap::Parser as _;
use std::collections::BTreeSet;
use xstun_core::stun::credentials::Realm;
use xstun_core::stun::{AlternateServer, Discovery, Extras, Policy, Software};

fn config(flags: &str) -> Result<Config, String> {
    let words = ["xstun", "serve"].into_iter().chain(flags.split_whitespace());
    let Command::Serve(args) = Cli::try_parse_from(words).map_err(|error| error.to_string())?.command else {
        unreachable!("`serve` was parsed")
    };
    Config::from_args(&args, &[0, 1, 2, 3, 6]).map_err(|failure| {
        assert_eq!(failure.kind(), FailureKind::Usage, "{failure}");
        failure.to_string()
    })
}

#[test]
fn without_flags_sockets_listen_on_both_wildcards_and_every_core_works() {
    let config = config("").unwrap();
    let listen: Vec<String> = config.live.listen.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:3478", "[::]:3478"]);
    assert!(config.live.listen.by_default);
    assert_eq!(config.fixed.cores, [0, 1, 2, 3, 6]);
    assert!(config.live.open_policy.classic);
}

#[test]
fn kernel_answers_are_a_live_choice_which_only_on_ties_to_an_interface() {
    let kernel_answers = |flags| config(flags).unwrap().live.kernel_answers;
    assert_eq!(kernel_answers(""), KernelAnswersArg::Auto);
    assert_eq!(kernel_answers("-i a --kernel-answers on"), KernelAnswersArg::On);
    assert_eq!(kernel_answers("-i a --datapath socket --kernel-answers off"), KernelAnswersArg::Off);
    assert_eq!(kernel_answers("--datapath socket --kernel-answers auto"), KernelAnswersArg::Auto);
}

#[test]
fn a_core_list_is_read_as_taskset_reads_it() {
    assert_eq!(config("--cores 0-2,6").unwrap().fixed.cores, [0, 1, 2, 6]);
    assert_eq!(config("--cores 6,0,0").unwrap().fixed.cores, [0, 6]);
    assert_eq!(ranges(&[0, 1, 2, 6]), "0-2,6");
    assert_eq!(ranges(&[]), "");
}

#[test]
fn an_alternate_address_makes_four_endpoints_of_its_version_of_ip() {
    let config = config(
        "--listen 192.0.2.1:3478 --listen [::]:3478 --alternate-address 192.0.2.2:3479 \
         --advertise 192.0.2.2=203.0.113.2",
    )
    .unwrap();
    let alternate: BTreeSet<String> = config.live.listen.alternate.iter().map(ToString::to_string).collect();
    let expected = ["192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"];
    assert_eq!(alternate, expected.map(String::from).into());
    assert_eq!(config.live.listen.all().count(), 5);
    let extras = config.live.open_policy.extras.unwrap();
    let mut discovery =
        Discovery::new("192.0.2.1:3478".parse().unwrap(), "192.0.2.2:3479".parse().unwrap()).unwrap();
    assert!(discovery.advertise("192.0.2.2".parse().unwrap(), "203.0.113.2".parse().unwrap()));
    assert_eq!(extras, Extras { discovery_v4: Some(discovery), ..Extras::default() });
}

#[test]
fn extras_are_those_of_the_options_and_nothing_else() {
    assert_eq!(config("--no-classic").unwrap().live.open_policy, Policy { classic: false, extras: None });
    let named = |text| Extras { software: Software::new(text), ..Extras::default() };
    let table = [
        ("--software", named("xstun")),
        ("--software=mine", named("mine")),
        ("--software mine", named("mine")),
        ("--drop-zero-transaction", Extras { drop_zero_transaction: true, ..Extras::default() }),
        (
            "--alternate-server 203.0.113.9:3478 --alternate-server [2001:db8::9]:3479 \
             --credentials f --realm r",
            Extras {
                alternate_server: AlternateServer {
                    v4: Some("203.0.113.9:3478".parse().unwrap()),
                    v6: Some("[2001:db8::9]:3479".parse().unwrap()),
                },
                ..Extras::default()
            },
        ),
    ];
    for (flags, extras) in table {
        assert_eq!(
            config(flags).unwrap().live.open_policy,
            Policy { classic: true, extras: Some(extras) },
            "{flags}"
        );
    }
}

/// Options that are invalid, and a part of the message.
const INVALID: &[(&str, &str)] = &[
    ("--cores 4", "--cores names core 4"),
    ("--cores 3-1", "--cores '3-1'"),
    ("--cores x", "--cores 'x'"),
    ("--cores=", "--cores ''"),
    ("--interface a --interface a", "--interface a is given twice"),
    ("--interface=", "--interface is empty"),
    ("--datapath af-xdp", "--datapath af-xdp requires an interface"),
    ("--busy-poll", "--busy-poll requires an interface"),
    ("--queues 2", "--queues requires an interface"),
    ("--queues 0 -i a", "--queues"),
    ("-i a --xdp-mode generic --bind-mode zero-copy", "--bind-mode zero-copy"),
    ("--kernel-answers on", "--kernel-answers on requires an interface"),
    (
        "-i a --datapath socket --kernel-answers on",
        "--kernel-answers on is not available with --datapath socket",
    ),
    ("-i a --kernel-answers perhaps", "--kernel-answers"),
    ("--listen 192.0.2.1:0", "--listen 192.0.2.1:0 has port 0"),
    ("--listen 192.0.2.1", "--listen"),
    ("--listen 224.0.0.1:3478", "is a group address"),
    ("--listen 255.255.255.255:3478", "is a group address"),
    ("--listen [::ffff:192.0.2.1]:3478", "write it as IPv4"),
    ("--listen [2001:db8::1%2]:3478", "leave out what follows the %"),
    ("--listen [2001:db8::1]:3478 --alternate-address [2001:db8::2%2]:3479", "leave out what follows the %"),
    ("--listen 192.0.2.1:3478 --listen 192.0.2.1:3478", "is given twice"),
    ("--listen 192.0.2.1:3478 --listen 0.0.0.0:3478", "is already covered by --listen 0.0.0.0:3478"),
    ("--datapath turbo", "--datapath"),
    ("--tls-listen 192.0.2.1:5349", "--tls-listen 192.0.2.1:5349 requires a certificate"),
    ("--tls-certificate c.pem", "--tls-certificate c.pem requires --tls-key"),
    ("--tls-key k.pem", "--tls-key k.pem requires --tls-certificate"),
    ("--tls-certificate c --tls-key k --tls-listen 192.0.2.1:0", "--tls-listen 192.0.2.1:0 has port 0"),
    ("--tls-certificate c --tls-key k --listen 192.0.2.1:5349", "share one port"),
    ("--tls-certificate c --tls-key k --tls-listen 192.0.2.1:3478", "share one port"),
    ("--max-connections 0", "--max-connections"),
    ("--max-connections-per-source 0", "--max-connections-per-source"),
    ("--tcp-idle 0", "--tcp-idle"),
    (
        "--alternate-address 192.0.2.2:3479",
        "--alternate-address 192.0.2.2:3479 requires exactly one --listen",
    ),
    ("--listen 0.0.0.0:3478 --alternate-address 192.0.2.2:3479", "of its version of IP, and no wildcard"),
    ("--listen [2001:db8::1]:3478 --alternate-address 192.0.2.2:3479", "of its version of IP"),
    (
        "--listen 192.0.2.1:3478 --listen 192.0.2.3:3478 --alternate-address 192.0.2.2:3479",
        "requires exactly one --listen",
    ),
    (
        "--listen 192.0.2.1:3478 --alternate-address 192.0.2.2:3478",
        "must differ from --listen 192.0.2.1:3478 in address and in port",
    ),
    ("--listen 192.0.2.1:3478 --alternate-address 192.0.2.1:3479", "in address and in port"),
    ("--listen 192.0.2.1:3478 --alternate-address 192.0.2.2:0", "has port 0"),
    ("--listen 192.0.2.1:3478 --alternate-address 0.0.0.0:3479", "is a wildcard"),
    ("--listen 192.0.2.1:3478 --alternate-address 224.0.0.1:3479", "is a group address"),
    ("--listen [::1]:3478 --alternate-address [::ffff:192.0.2.1]:3479", "write it as IPv4"),
    (
        "--listen 192.0.2.1:3478 --alternate-address 192.0.2.2:3479 --alternate-address 192.0.2.3:3479",
        "--alternate-address 192.0.2.3:3479 is a second one",
    ),
    ("--advertise 192.0.2.1", "LOCAL=PUBLIC"),
    ("--advertise 192.0.2.1=x", "'x' is not an IP address"),
    ("--advertise 192.0.2.1=203.0.113.1", "--advertise 192.0.2.1=203.0.113.1 has no effect"),
    ("--advertise 192.0.2.1=2001:db8::1", "mixes both versions of IP"),
    ("--advertise 192.0.2.1=0.0.0.0", "is a wildcard"),
    (
        "--listen 192.0.2.1:3478 --alternate-address 192.0.2.2:3479 --advertise 192.0.2.1=203.0.113.1 \
         --advertise 192.0.2.1=203.0.113.2",
        "--advertise 192.0.2.1=203.0.113.2 names the same local address",
    ),
    ("--software=", "--software '' must have 1 to 32 bytes"),
    ("--software=a-name-of-more-than-32-bytes-is-long", "must have 1 to 32 bytes"),
    ("--alternate-server 192.0.2.9:0", "--alternate-server 192.0.2.9:0 has port 0"),
    ("--alternate-server 0.0.0.0:3478", "is a wildcard"),
    ("--listen 192.0.2.9:3478 --alternate-server 192.0.2.9:3478", "is this server itself"),
    (
        "--listen 192.0.2.1:3478 --alternate-address 192.0.2.2:3479 --alternate-server 192.0.2.1:3479",
        "is this server itself",
    ),
    ("--alternate-server 192.0.2.9:3478 --alternate-server 192.0.2.8:3478", "is a second one"),
    (
        "--alternate-server 192.0.2.9:3478",
        "--alternate-server 192.0.2.9:3478 requires --credentials: RFC 8489 §14.8",
    ),
    ("--alternate-server [2001:db8::9]:3478", "name the file of users with --credentials FILE"),
    ("--auth short-term", "--auth requires --credentials"),
    ("--realm example.org", "--realm requires --credentials"),
    ("--credentials f", "require --realm"),
    ("--credentials f --auth long-term", "require --realm"),
    (
        "--credentials f --auth short-term --realm example.org",
        "--realm cannot be combined with --auth short-term",
    ),
    ("--credentials f --realm=", "--realm '' must have 1 to 48"),
    ("--credentials f --realm a\"b", "must have 1 to 48 printable ASCII"),
    ("--credentials f --realm bücher.example", "printable ASCII"),
    ("--credentials f --auth password", "--auth"),
];

#[test]
fn an_invalid_option_is_refused_by_the_name_of_its_flag() {
    for (flags, expected) in INVALID {
        let message = config(flags).expect_err(flags);
        assert!(message.contains(expected), "`{flags}`: {message}");
    }
}

fn tls_addresses(flags: &str) -> Vec<String> {
    let tls = config(flags).unwrap().live.stream.tls.expect("a certificate is given");
    tls.listen.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn tcp_is_served_unless_switched_off_and_tls_with_a_certificate() {
    let stream = config("").unwrap().live.stream;
    assert!(stream.tcp && stream.tls.is_none());
    assert_eq!((stream.connections, stream.per_source, stream.idle.as_secs()), (4096, 64, 30));
    assert!(!config("--no-tcp").unwrap().live.stream.tcp);

    let certificate = "--tls-certificate c --tls-key k";
    assert_eq!(tls_addresses(certificate), ["0.0.0.0:5349", "[::]:5349"]);
    let two_ports = format!("{certificate} --listen 192.0.2.1:3478 --listen 192.0.2.1:3479");
    assert_eq!(tls_addresses(&two_ports), ["192.0.2.1:5349"]);
    let named = format!("{certificate} --tls-listen [2001:db8::1]:443");
    assert_eq!(tls_addresses(&named), ["[2001:db8::1]:443"]);
    let instead = format!("{certificate} --no-tcp --tls-listen 0.0.0.0:3478");
    assert_eq!(tls_addresses(&instead), ["0.0.0.0:3478"]);
}

#[test]
fn credentials_are_long_term_by_default() {
    let credentials = |flags| config(flags).unwrap().live.credentials;
    assert_eq!(credentials(""), None);
    let file = "/etc/xstun/users".into();
    let long = credentials("--credentials /etc/xstun/users --realm example.org");
    assert_eq!(long, Some(CredentialsConfig { file, realm: Realm::new("example.org") }));
    assert_eq!(credentials("--credentials f --auth long-term --realm r").unwrap().realm, Realm::new("r"));
    assert_eq!(credentials("--credentials f --auth short-term").unwrap().realm, None);
    assert_eq!(
        config("--credentials f --realm r").unwrap().live.open_policy.extras,
        None,
        "the file is not read yet"
    );
}

#[test]
fn an_alternate_server_is_not_this_host_by_a_wildcard() {
    let own = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    let check = |flags: &str| {
        let config = config(&format!("--credentials f --auth short-term {flags}")).unwrap();
        config.live.check_on_host(own).map_err(|failure| {
            assert_eq!(failure.kind(), FailureKind::Usage, "{failure}");
            failure.to_string()
        })
    };
    for flags in [
        "--alternate-server 192.0.2.1:3478",
        "--alternate-server [2001:db8::1]:3478",
        "--listen 0.0.0.0:3479 --alternate-server 192.0.2.1:3479",
        "--alternate-server 192.0.2.9:3478 --alternate-server [2001:db8::1]:3478",
    ] {
        let failure = check(flags).unwrap_err();
        assert!(failure.contains("is this server itself") && failure.contains("--listen"), "{failure}");
    }
    for flags in [
        "",
        "--alternate-server 192.0.2.9:3478",
        "--alternate-server 192.0.2.1:3479",
        "--listen 192.0.2.2:3478 --alternate-server 192.0.2.1:3478",
        "--listen [::]:3478 --alternate-server 192.0.2.1:3478",
    ] {
        assert_eq!(check(flags), Ok(()), "{flags}");
    }
}
