//! The address of the metrics.

use super::LiveConfig;
use super::listen::each_once;
use crate::error::{Failure, Result};
use crate::status::METRICS_PORT;
use std::net::SocketAddr;

const FLAG: &str = "--metrics-listen";

/// Checks that metrics can be served on `address` beside TCP and TLS of `live`.
///
/// # Errors
/// Usage: a sentence that names the flag and the value.
pub(super) fn check(address: &SocketAddr, live: &LiveConfig) -> Result<()> {
    each_once(FLAG, &[*address], METRICS_PORT)?;
    let tcp = live.stream.tcp.then_some(&live.listen);
    let tls = live.stream.tls.as_ref().map(|tls| &tls.listen);
    let overlap = tcp.into_iter().chain(tls).find_map(|listen| listen.overlapping(address));
    match overlap {
        None => Ok(()),
        Some((other, flag)) => {
            Err(Failure::invalid(FLAG, address, format!("and TCP on {other} ({flag}) share one port"))
                .of_value(flag, other)
                .remedy(format!("choose another port, like {METRICS_PORT}")))
        }
    }
}
