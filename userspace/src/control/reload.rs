//! SIGHUP: the configuration is read again, and all of it that can change under a running server does,
//! or nothing.

use super::Server;
use super::access::Access;
use super::log::Log;
use crate::config::Config;
use crate::datapath::Datapath;
use crate::error::Result;
use crate::settings::{Reader, Settings};
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long what is on its way to an address that is let go may take to arrive.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a client that is connecting may take to answer: by way of a satellite, and sooner than one that
/// was put off tries again (a second, RFC 6298 §2.1).
const HANDSHAKE: Duration = Duration::from_millis(700);

/// Keys that can change under a running server. Every other one needs a restart.
pub const LIVE: [&str; 19] = [
    "advertise",
    "alternate-address",
    "alternate-server",
    "auth",
    "credentials",
    "drain-seconds",
    "drop-zero-transaction",
    "listen",
    "log-level",
    "max-connections",
    "max-connections-per-source",
    "no-classic",
    "no-tcp",
    "realm",
    "software",
    "tcp-idle",
    "tls-certificate",
    "tls-key",
    "tls-listen",
];

/// What a server is configured by.
pub(super) struct Reload {
    reader: Reader,
    log: Log,
    /// As it was at the start: what needs a restart is still so.
    first: Settings,
    /// As it is in force.
    last: Settings,
    leaving: Option<Leaving>,
}

impl Reload {
    /// The configuration to begin with, and what reads it again.
    pub(super) fn new(server: Server) -> (Self, Config) {
        let Server { reader, log, settings, config } = server;
        (Reload { reader, log, first: settings.clone(), last: settings, leaving: None }, config)
    }

    /// The settings in force, which know where each value comes from.
    pub(super) fn settings(&self) -> &Settings {
        &self.last
    }

    /// Reads everything again and has it in force. A failure is told and lived with. Unless that [is
    /// all](Reload::is_done), addresses are to be let go of, by [`Reload::go_on`]; until then no other reload
    /// may begin, and no socket be handed to another process.
    pub(super) fn begin(&mut self, datapath: &mut Datapath, access: &Access) {
        if let Err(failure) = self.try_begin(datapath, access) {
            tracing::warn!(signal = "SIGHUP", "everything stays as it was: {failure}");
        }
    }

    fn try_begin(&mut self, datapath: &mut Datapath, access: &Access) -> Result<()> {
        let (settings, mut config) = self.reader.read()?;
        let change = access
            .open(&mut config)
            .and_then(|users| Ok((users, datapath.prepare(config)?)))
            .map_err(|failure| settings.locate(failure));
        let (users, change) = change?;
        for key in settings.changed(&self.first).filter(|key| !LIVE.contains(key)) {
            tracing::warn!(
                signal = "SIGHUP",
                key,
                "{key} needs a restart: the value of the start stays in force"
            );
        }
        let changed: Vec<&str> = settings.changed(&self.last).filter(|key| LIVE.contains(key)).collect();
        self.log.set_level(settings.args.log_level, self.first.args.xdp_log);
        if let Err(failure) = datapath.adopt(change) {
            tracing::warn!(signal = "SIGHUP", "not all that changed is in force: {failure}");
        }
        let changed = changed.join(", ");
        self.leaving = Some(Leaving { due: Instant::now() + SETTLE, is_deaf: false, changed, users });
        self.last = settings;
        Ok(())
    }

    /// Whether none is under way.
    pub(super) fn is_done(&self) -> bool {
        self.leaving.is_none()
    }

    /// Waits for the time of [`Reload::go_on`]: for ever where nothing is under way. Nothing is lost if the
    /// wait is given up.
    pub(super) async fn due(&self) {
        match &self.leaving {
            Some(leaving) => sleep_until(leaving.due).await,
            None => pending().await,
        }
    }

    /// Takes the next step in letting go, if one is left.
    pub(super) fn go_on(&mut self, datapath: &mut Datapath) {
        let Some(leaving) = &mut self.leaving else { return };
        if leaving.is_deaf {
            datapath.retire();
        } else if datapath.deafen() {
            leaving.is_deaf = true;
            leaving.due = Instant::now() + HANDSHAKE;
            return;
        }
        tracing::info!(
            signal = "SIGHUP",
            changed = leaving.changed,
            users = leaving.users,
            "the configuration is read again"
        );
        self.leaving = None;
    }
}

/// A reload that is in force, but for the addresses that are no longer wanted.
struct Leaving {
    /// Of the next step.
    due: Instant,
    /// Nothing comes to those addresses any more.
    is_deaf: bool,
    /// What it changed, and how many users there are, as the log will have it.
    changed: String,
    users: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::LIVE;

    #[test]
    fn what_can_change_live_is_a_key() {
        let command = crate::cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for key in LIVE {
            assert!(serve.get_arguments().any(|arg| arg.get_long() == Some(key)), "{key}");
        }
    }
}
