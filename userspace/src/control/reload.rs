//! SIGHUP: reads the configuration again and adopts its live part, all of it or nothing.

use super::ServerSetup;
use super::credentials::CredentialStore;
use super::log::Log;
use crate::config::Config;
use crate::datapath::Datapath;
use crate::error::Result;
use crate::settings::{Reader, Settings};
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a datagram that is on its way to a retired address may take to arrive.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a client that is connecting may take to complete the handshake: enough for a satellite link,
/// and less than the second after which a dropped SYN is retried (RFC 6298 §2.1).
const HANDSHAKE: Duration = Duration::from_millis(700);

/// The settings of a running server, and the steps of a reload.
pub(super) struct Reload {
    reader: Reader,
    log: Log,
    /// Those of the start, whose fixed part stays in force.
    first: Settings,
    /// Those of the last reload, whose live part is in force.
    last: Settings,
    retiring: Option<Retiring>,
}

impl Reload {
    /// Returns what reads the configuration again, and the configuration to start with.
    pub(super) fn new(setup: ServerSetup) -> (Self, Config) {
        let ServerSetup { reader, log, settings, config } = setup;
        (Reload { reader, log, first: settings.clone(), last: settings, retiring: None }, config)
    }

    /// Returns the settings in force, which know where each value comes from.
    pub(super) fn settings(&self) -> &Settings {
        &self.last
    }

    /// Reads everything again and adopts it. Logs a failure, which changes nothing. Unless
    /// [`Reload::is_done`] afterwards, addresses are being retired: call [`Reload::go_on`] when
    /// [`Reload::due`] until it is. Until then no other reload may begin, and no socket may be handed to
    /// another process.
    pub(super) fn begin(&mut self, datapath: &mut Datapath, credentials: &CredentialStore) {
        if let Err(failure) = self.try_begin(datapath, credentials) {
            tracing::warn!(signal = "SIGHUP", "cannot reload, the configuration is unchanged: {failure}");
        }
    }

    fn try_begin(&mut self, datapath: &mut Datapath, credentials: &CredentialStore) -> Result<()> {
        let (settings, config) = self.reader.read()?;
        let (log_level, answers) = (config.live.log_level, datapath.kernel_answers());
        let prepared = credentials
            .policy(&config.live)
            .and_then(|(policy, users)| Ok((users, datapath.prepare(config.live, policy)?)));
        let (users, change) = prepared.map_err(|failure| settings.locate(failure))?;
        for fixed in settings.changed(&self.first).filter(|setting| !setting.is_live()) {
            let key = fixed.name();
            tracing::warn!(
                signal = "SIGHUP",
                key,
                "{key} needs a restart: the value of the start stays in force"
            );
        }
        let live = settings.changed(&self.last).filter(|setting| setting.is_live());
        let changed = live.map(|setting| setting.name()).collect::<Vec<_>>().join(", ");
        self.log.set_level(log_level, datapath.config().fixed.xdp_log);
        if let Err(failure) = datapath.adopt(change) {
            tracing::warn!(signal = "SIGHUP", "the reload is in force, but not all of it: {failure}");
        }
        for (interface, now) in datapath.kernel_answers().into_iter().filter(|now| !answers.contains(now)) {
            let kernel_answers = now.to_string();
            tracing::info!(signal = "SIGHUP", interface, kernel_answers, "kernel answers changed");
        }
        self.retiring = Some(Retiring { due: Instant::now() + SETTLE, is_quiesced: false, changed, users });
        self.last = settings;
        Ok(())
    }

    /// Whether no reload is in progress.
    pub(super) fn is_done(&self) -> bool {
        self.retiring.is_none()
    }

    /// Waits until [`Reload::go_on`] is due; for ever if no reload is in progress. Cancel safe.
    pub(super) async fn due(&self) {
        match &self.retiring {
            Some(retiring) => sleep_until(retiring.due).await,
            None => pending().await,
        }
    }

    /// Takes the next step in retiring addresses, if one is left.
    pub(super) fn go_on(&mut self, datapath: &mut Datapath) {
        let Some(retiring) = &mut self.retiring else { return };
        if retiring.is_quiesced {
            datapath.retire();
        } else if datapath.quiesce() {
            retiring.is_quiesced = true;
            retiring.due = Instant::now() + HANDSHAKE;
            return;
        }
        tracing::info!(
            signal = "SIGHUP",
            changed = retiring.changed,
            users = retiring.users,
            "configuration reloaded"
        );
        self.retiring = None;
    }
}

/// A reload that is in force, except for the addresses that it retires.
struct Retiring {
    /// When the next step is due.
    due: Instant,
    /// Whether nothing more is delivered to those addresses.
    is_quiesced: bool,
    /// The live keys that it changed, for the log.
    changed: String,
    /// The number of users, for the log.
    users: Option<usize>,
}
