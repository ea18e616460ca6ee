//! Metrics: the flag, checked.

use super::{Listen, Stream, each_once};
use crate::cli::MetricsArgs;
use crate::error::{Failure, Result};
use crate::status::METRICS_PORT;
use std::net::SocketAddr;

const FLAG: &str = "--metrics-listen";

/// Where metrics are told. `listen` and `stream` say where TCP and TLS are answered, which must be
/// elsewhere.
///
/// # Errors
/// One sentence that names the flag and the value.
pub(super) fn listen(args: &MetricsArgs, listen: &Listen, stream: &Stream) -> Result<Option<SocketAddr>> {
    let Some(address) = args.metrics_listen else { return Ok(None) };
    each_once(FLAG, &[address], METRICS_PORT)?;
    let same = |other: &SocketAddr| {
        let same_ip =
            address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
        address.port() == other.port() && address.is_ipv4() == other.is_ipv4() && same_ip
    };
    let tcp = stream.tcp.then_some(listen).into_iter();
    for listen in tcp.chain(stream.tls.as_ref().map(|tls| &tls.listen)) {
        if let Some(other) = listen.all().find(same) {
            let flag = listen.flag(&other);
            return Err(Failure::usage(format!("{FLAG} {address} and TCP on {other} ({flag}) are one port"))
                .remedy(format!("choose another port, like {METRICS_PORT}")));
        }
    }
    Ok(Some(address))
}
