//! Which server may be loaded.

use crate::cli::LoadArgs;
use crate::client::host_port::HostPort;
use crate::error::{Failure, Result};
use std::net::{IpAddr, SocketAddr};

/// Returns the first address of the server, if that may be loaded.
///
/// # Errors
/// Usage: the address is neither local nor private, and `--i-own` does not confirm it. System: the name
/// does not resolve.
pub(super) fn target(args: &LoadArgs) -> Result<SocketAddr> {
    let named = HostPort::parse(&args.server)?;
    let owned = match args.i_own.as_deref() {
        None => false,
        Some(again) if again == args.server || again == named.host => true,
        Some(again) => {
            return Err(Failure::usage(format!("--i-own is '{again}', but the server is '{}'", args.server))
                .remedy("name the same server twice if it is yours"));
        }
    };
    let server = named.resolve(None)?.remove(0);
    if !owned && !is_near(server.ip()) {
        return Err(Failure::usage(format!("{server} is neither a local nor a private address")).remedy(
            format!("load only servers that are yours; if this one is, add --i-own {}", named.host),
        ));
    }
    Ok(server)
}

/// Whether an address can only belong to this host or network, or is reserved for benchmarks (RFC 2544,
/// RFC 5180).
pub(super) fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(ip) => {
            let benchmark = ip.segments()[..3] == [0x2001, 2, 0];
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || benchmark
        }
    }
}
