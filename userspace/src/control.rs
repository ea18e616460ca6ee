//! The control thread: everything of a server that is not on the path of a datagram. It starts and stops
//! the datapath, follows signals, links, addresses and requests, and reports to the operator.

mod attachment;
mod credentials;
mod delivery;
mod event;
mod handover;
mod heartbeats;
pub mod log;
mod manager;
mod metrics;
mod process;
mod reception;
mod reload;
mod report;
mod request;
mod running;
mod socket;
mod state;
mod status;
mod step_downs;
mod supervisor;
mod transmission;
mod wire;

pub use socket::drain;

use crate::config::Config;
use crate::error::{Failure, Result};
use crate::settings::{Reader, Settings};
use credentials::CredentialStore;
use reload::Reload;

/// What a server needs to start.
pub struct ServerSetup {
    /// Reads the configuration again.
    pub reader: Reader,
    /// What `reader` read first.
    pub settings: Settings,
    /// The same, checked.
    pub config: Config,
    /// The log.
    pub log: log::Log,
}

/// Serves until SIGINT, SIGTERM or the end of draining, then takes everything down and logs the counters.
///
/// # Errors
/// Something could not be started, or a thread that serves sockets ended; a sentence for the operator.
pub fn serve(setup: ServerSetup) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start the control loop").because(error))?;
    let (mut reload, config) = Reload::new(setup);
    let result = runtime.block_on(running::run(&mut reload, config));
    result.map_err(|failure| reload.settings().locate(failure))
}

/// Checks the files that a configuration names, as [`serve`] would read them; changes nothing.
///
/// # Errors
/// What is wrong with them.
pub fn check(config: &Config) -> Result<()> {
    CredentialStore::new()?.policy(&config.live)?;
    crate::datapath::socket::stream::check(&config.live.stream)
}
