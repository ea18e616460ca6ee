//! What is answered beyond the plain service: the policy that the options ask for.

use super::LiveConfig;
use super::listen::{Listen, malformed};
use crate::cli::{Advertise, CredentialsArgs, ReplyArgs};
use crate::error::{Failure, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use xstun_core::stun::credentials::Credentials;
use xstun_core::stun::{AlternateServer, Discovery, Extras, Policy, Software};

impl LiveConfig {
    /// Returns the policy for requests. `credentials` are what the file of
    /// [`LiveConfig::credentials`] holds; `None` answers everybody.
    pub(crate) fn policy(&self, credentials: Option<Credentials>) -> Policy {
        let mut policy = self.open_policy.clone();
        if let Some(credentials) = credentials {
            policy.extras.get_or_insert_with(Extras::default).credentials = Some(Arc::new(credentials));
        }
        policy
    }

    /// Checks that no `--alternate-server` is this server itself, reached by a wildcard of `--listen`;
    /// `own` are the addresses of the host. Clients that are redirected in a circle give up
    /// (RFC 8489 §10).
    ///
    /// # Errors
    /// Usage: a sentence that names the flag and the value.
    pub(crate) fn check_on_host(&self, own: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        let servers =
            self.open_policy.extras.as_ref().map(|extras| extras.alternate_server).unwrap_or_default();
        check_alternate_servers(&servers, &self.listen, own)
    }
}

/// Returns the policy that the options ask for, without credentials, and `listen` with the endpoints of
/// NAT behaviour discovery.
pub(super) fn policy(
    args: &ReplyArgs,
    listen: Listen,
    credentials: &CredentialsArgs,
) -> Result<(Policy, Listen)> {
    let ReplyArgs {
        no_classic,
        alternate_address,
        advertise,
        software,
        drop_zero_transaction,
        alternate_server,
    } = args;
    let mut extras = Extras { drop_zero_transaction: *drop_zero_transaction, ..Extras::default() };
    let endpoints = discoveries(alternate_address, &listen, &mut extras)?;
    let listen = listen.with_alternate(endpoints);
    for (index, one) in advertise.iter().enumerate() {
        let again = advertise.iter().take(index).any(|other| other.local == one.local);
        self::advertise(one, again, &mut extras)?;
    }
    if let Some(text) = software {
        extras.software = Some(Software::new(text).ok_or_else(|| {
            Failure::usage(format!("--software '{text}' must have 1 to {} bytes of text", Software::MAX))
                .of_value("--software", text)
        })?);
    }
    for server in alternate_server {
        self::alternate_server(server, &listen, &mut extras.alternate_server)?;
    }
    if let (Some(server), None) = (alternate_server.first(), &credentials.credentials) {
        return Err(Failure::invalid(
            ALTERNATE_SERVER,
            server,
            "requires --credentials: RFC 8489 §14.8 lets a server redirect only authenticated clients",
        )
        .remedy("name the file of users with --credentials FILE"));
    }
    let extras = Some(extras).filter(|extras| *extras != Extras::default());
    Ok((Policy { classic: !no_classic, extras }, listen))
}

const ALTERNATE_SERVER: &str = "--alternate-server";

/// Adds every `--alternate-address` to `extras`. Returns the endpoints that `listen` lacks.
fn discoveries(given: &[SocketAddr], listen: &Listen, extras: &mut Extras) -> Result<Vec<SocketAddr>> {
    let mut endpoints = Vec::new();
    for alternate in given {
        let family = if alternate.is_ipv4() { &mut extras.discovery_v4 } else { &mut extras.discovery_v6 };
        if family.is_some() {
            return Err(invalid_alternate(alternate, "is a second one for its version of IP"));
        }
        let discovery = discovery(alternate, listen)?;
        let lacking =
            discovery.endpoints().into_iter().filter(|endpoint| !listen.addresses.contains(endpoint));
        endpoints.extend(lacking);
        *family = Some(discovery);
    }
    Ok(endpoints)
}

/// Returns the four endpoints of `--alternate-address` and the `--listen` of its version of IP.
fn discovery(alternate: &SocketAddr, listen: &Listen) -> Result<Discovery> {
    if let Some(why) = no_endpoint(alternate) {
        return Err(invalid_alternate(alternate, why));
    }
    let of_family: Vec<_> =
        listen.addresses.iter().filter(|address| address.is_ipv4() == alternate.is_ipv4()).collect();
    let primary = match of_family.as_slice() {
        [primary] if !listen.by_default && !primary.ip().is_unspecified() => **primary,
        _ => {
            let why = "requires exactly one --listen of its version of IP, and no wildcard";
            return Err(invalid_alternate(alternate, why)
                .of("--listen")
                .remedy("name the primary address of NAT behaviour discovery (RFC 5780) with --listen"));
        }
    };
    Discovery::new(primary, *alternate).ok_or_else(|| {
        let both = format!("must differ from --listen {primary} in address and in port");
        invalid_alternate(alternate, &both).of_value("--listen", primary)
    })
}

/// Adds one `--advertise` to the discovery of `extras`.
fn advertise(advertise: &Advertise, again: bool, extras: &mut Extras) -> Result<()> {
    let Advertise { local, public } = advertise;
    let invalid = |why: &str| Failure::invalid("--advertise", format!("{local}={public}"), why);
    if again {
        return Err(invalid("names the same local address as an earlier one"));
    }
    if local.is_ipv4() != public.is_ipv4() {
        return Err(invalid("mixes both versions of IP"));
    }
    if let Some(why) = no_endpoint(&SocketAddr::new(*public, 1)) {
        return Err(invalid(why));
    }
    let known = [&mut extras.discovery_v4, &mut extras.discovery_v6]
        .into_iter()
        .flatten()
        .any(|discovery| discovery.advertise(*local, *public));
    if known {
        return Ok(());
    }
    Err(invalid(&format!("has no effect: {local} is neither an --alternate-address nor its --listen"))
        .remedy("name an address of this host that NAT behaviour discovery reports to clients"))
}

/// Adds one `--alternate-server` to `servers`.
fn alternate_server(server: &SocketAddr, listen: &Listen, servers: &mut AlternateServer) -> Result<()> {
    let invalid = |why: &str| Err(Failure::invalid(ALTERNATE_SERVER, server, why));
    if let Some(why) = no_endpoint(server) {
        return invalid(why);
    }
    if listen.has(server) {
        return invalid("is this server itself: clients would be redirected in a circle");
    }
    let again = match server {
        SocketAddr::V4(server) => servers.v4.replace(*server).is_some(),
        SocketAddr::V6(server) => servers.v6.replace(*server).is_some(),
    };
    if again { invalid("is a second one for its version of IP") } else { Ok(()) }
}

/// Refuses a server that is this one by an address of `own` and a wildcard of `listen`.
fn check_alternate_servers(
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
        Some(server) => Err(Failure::invalid(
            ALTERNATE_SERVER,
            server,
            format!(
                "is this server itself, which listens on port {} of every address: clients would be redirected \
                 in a circle",
                server.port()
            ),
        )
        .remedy("name another server, or name with --listen only the addresses that redirect clients")),
    }
}

fn invalid_alternate(alternate: &SocketAddr, why: &str) -> Failure {
    Failure::invalid("--alternate-address", alternate, why)
}

/// Returns why no client can be sent to this address and port, if that is so.
fn no_endpoint(address: &SocketAddr) -> Option<&'static str> {
    let ip = address.ip();
    if address.port() == 0 {
        Some("has port 0")
    } else if ip.is_unspecified() {
        Some("is a wildcard: name one address")
    } else if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("is a group address")
    } else {
        malformed(address)
    }
}
