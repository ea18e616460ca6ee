//! The flags that go beyond the plain service, turned into a policy.

use super::{Listen, ill_written};
use crate::cli::{Advertise, ServeArgs};
use crate::error::{Failure, Result};
use crate::stun::{AlternateServer, Discovery, Extras, Policy, Software};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The policy that the flags ask for. Where they ask for NAT behaviour discovery, its endpoints are
/// added to `listen`.
pub(super) fn policy(args: &ServeArgs, listen: &mut Listen) -> Result<Policy> {
    let mut extras = Extras { drop_zero_transaction: args.drop_zero_transaction, ..Extras::default() };
    for alternate in &args.alternate_address {
        let family = if alternate.is_ipv4() { &mut extras.discovery_v4 } else { &mut extras.discovery_v6 };
        if family.is_some() {
            return Err(wrong_alternate(alternate, "is a second one for its version of IP"));
        }
        let discovery = discovery(alternate, listen)?;
        let further =
            discovery.endpoints().into_iter().filter(|endpoint| !listen.addresses.contains(endpoint));
        listen.alternate.extend(further);
        *family = Some(discovery);
    }
    for (index, advertise) in args.advertise.iter().enumerate() {
        let again = args.advertise.iter().take(index).any(|other| other.local == advertise.local);
        self::advertise(advertise, again, &mut extras)?;
    }
    if let Some(text) = &args.software {
        extras.software = Some(Software::new(text).ok_or_else(|| {
            Failure::usage(format!("--software '{text}' must have 1 to {} bytes of text", Software::MAX))
        })?);
    }
    for server in &args.alternate_server {
        alternate_server(server, listen, &mut extras.alternate_server)?;
    }
    if let (Some(server), None) = (args.alternate_server.first(), &args.access.credentials) {
        return Err(Failure::usage(format!(
            "--alternate-server {server} is of no use without credentials: \
             RFC 8489 §14.8 lets a server redirect only users who have proven who they are"
        ))
        .remedy("name the file of users with --credentials FILE"));
    }
    let extras = Some(extras).filter(|extras| *extras != Extras::default());
    Ok(Policy { classic: !args.no_classic, extras })
}

/// The four endpoints that `--alternate-address` and the `--listen` of its version of IP span.
fn discovery(alternate: &SocketAddr, listen: &Listen) -> Result<Discovery> {
    if let Some(why) = no_endpoint(alternate) {
        return Err(wrong_alternate(alternate, why));
    }
    let of_family: Vec<_> =
        listen.addresses.iter().filter(|address| address.is_ipv4() == alternate.is_ipv4()).collect();
    let primary = match of_family.as_slice() {
        [primary] if !listen.by_default && !primary.ip().is_unspecified() => **primary,
        _ => {
            let why = "needs exactly one --listen of its version of IP, with an address and no wildcard";
            return Err(wrong_alternate(alternate, why)
                .remedy("NAT behaviour discovery (RFC 5780) must know which address is the first"));
        }
    };
    Discovery::new(primary, *alternate).ok_or_else(|| {
        let both = format!("must differ from --listen {primary} in address and in port");
        wrong_alternate(alternate, &both)
    })
}

/// Takes one `--advertise` in.
fn advertise(advertise: &Advertise, again: bool, extras: &mut Extras) -> Result<()> {
    let Advertise { local, public } = advertise;
    let wrong = |why: &str| Err(Failure::usage(format!("--advertise {local}={public} {why}")));
    if again {
        return wrong("names the same local address as an earlier one");
    }
    if local.is_ipv4() != public.is_ipv4() {
        return wrong("names addresses of both versions of IP");
    }
    if let Some(why) = no_endpoint(&SocketAddr::new(*public, 1)) {
        return wrong(why);
    }
    let known = [&mut extras.discovery_v4, &mut extras.discovery_v6]
        .into_iter()
        .flatten()
        .any(|discovery| discovery.advertise(*local, *public));
    if known {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--advertise {local}={public} is of no use: {local} is neither --alternate-address nor its --listen"
    ))
    .remedy("only NAT behaviour discovery tells clients an address of this host"))
}

/// Takes one `--alternate-server` in.
fn alternate_server(server: &SocketAddr, listen: &Listen, servers: &mut AlternateServer) -> Result<()> {
    let wrong = |why: &str| Err(Failure::usage(format!("--alternate-server {server} {why}")));
    if let Some(why) = no_endpoint(server) {
        return wrong(why);
    }
    if listen.has(server) {
        return wrong("is this server itself: clients would go in a circle");
    }
    let again = match server {
        SocketAddr::V4(server) => servers.v4.replace(*server).is_some(),
        SocketAddr::V6(server) => servers.v6.replace(*server).is_some(),
    };
    if again { wrong("is a second one for its version of IP") } else { Ok(()) }
}

/// Refuses those that are this server by an address of `own` and a wildcard of `listen`.
pub(super) fn check_alternate_servers(
    servers: &AlternateServer,
    listen: &Listen,
    own: impl IntoIterator<Item = IpAddr>,
) -> Result<()> {
    let servers = [servers.v4.map(SocketAddr::V4), servers.v6.map(SocketAddr::V6)];
    let is_answered_here = |server: &SocketAddr| {
        listen.all().any(|listen| {
            listen.ip().is_unspecified()
                && listen.is_ipv4() == server.is_ipv4()
                && listen.port() == server.port()
        })
    };
    let answered: Vec<_> = servers.into_iter().flatten().filter(is_answered_here).collect();
    match own.into_iter().find_map(|own| answered.iter().find(|server| server.ip() == own)) {
        None => Ok(()),
        Some(server) => Err(Failure::usage(format!(
            "--alternate-server {server} is this server itself, which listens at port {} of every address: \
             clients would go in a circle",
            server.port()
        ))
        .remedy("name another server, or with --listen only the addresses that shall send clients there")),
    }
}

fn wrong_alternate(alternate: &SocketAddr, why: &str) -> Failure {
    Failure::usage(format!("--alternate-address {alternate} {why}"))
}

/// Why nobody can be told to send to this address and port.
fn no_endpoint(address: &SocketAddr) -> Option<&'static str> {
    let ip = address.ip();
    if address.port() == 0 {
        Some("has port 0")
    } else if ip.is_unspecified() {
        Some("is a wildcard: name one address")
    } else if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("is a group address")
    } else {
        ill_written(address)
    }
}
