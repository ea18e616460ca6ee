//! The protocol of the service manager, sd_notify(3): a datagram with lines of `NAME=VALUE` for each change of
//! state. Without a service manager nothing is sent.

use crate::error::{Failure, Result};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager that started this process, if there is one.
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Whether its watchdog must be notified.
    watchdog: bool,
    status: String,
}

impl ServiceManager {
    /// Finds it by its environment variables (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    ///
    /// # Errors
    /// System: `NOTIFY_SOCKET` is not the address of a socket, or no socket is available.
    pub(super) fn find() -> Result<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET");
        let watchdog = is_for_us(
            std::env::var("WATCHDOG_USEC").ok().as_deref(),
            std::env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        );
        Self::new(name.as_deref().filter(|name| !name.is_empty()), watchdog)
    }

    fn new(name: Option<&OsStr>, watchdog: bool) -> Result<Self> {
        let mut manager = ServiceManager { socket: None, watchdog, status: String::new() };
        if let Some(name) = name {
            let failed = |error| {
                Failure::system(format!(
                    "cannot reach the service manager at '{}' (NOTIFY_SOCKET)",
                    name.display()
                ))
                .because(error)
                .remedy("unset NOTIFY_SOCKET if no service manager listens")
            };
            let address = address(name).map_err(failed)?;
            let socket = UnixDatagram::unbound().map_err(failed)?;
            // A service manager that does not read must not block the control loop.
            socket.set_nonblocking(true).map_err(failed)?;
            manager.socket = Some((socket, address));
        }
        Ok(manager)
    }

    /// Reports that everything serves; also ends [`ServiceManager::reloading`].
    pub(super) fn ready(&mut self, status: String) {
        self.send(&format!("READY=1\nSTATUS={status}"));
        self.status = status;
    }

    /// Reports the status, if it has changed.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// Reports that a reload begins now.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// Reports that the server stops.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// Feeds the watchdog: the control loop runs and every worker works. Must be called more often than the
    /// interval of the watchdog.
    pub(super) fn alive(&self) {
        if self.watchdog {
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!("cannot send '{}' to the service manager: {error}", state.replace('\n', " "));
        }
    }
}

/// Parses a path, or `@` and an abstract name.
fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "neither an absolute path nor @ and an abstract name",
        )),
    }
}

/// Whether the watchdog is on, and for this process: children inherit the environment.
fn is_for_us(microseconds: Option<&str>, wanted: Option<&str>, process: u32) -> bool {
    let on = microseconds.and_then(|text| text.parse::<u64>().ok()).is_some_and(|time| time > 0);
    on && wanted.is_none_or(|wanted| wanted.parse() == Ok(process))
}

#[cfg(test)]
mod tests {
    use super::{ServiceManager, is_for_us};
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use xstun_testkit::wait::{LIMIT, uninterrupted};

    /// Reports every state to a service manager that listens on `socket` at `name`.
    fn live(socket: &UnixDatagram, name: &str) {
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let heard = || {
            let mut buffer = [0; 1024];
            let length = uninterrupted(|| socket.recv(&mut buffer)).expect("a message comes");
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let mut manager = ServiceManager::new(Some(OsStr::new(name)), true).unwrap();
        manager.ready("serves".into());
        assert_eq!(heard(), "READY=1\nSTATUS=serves");
        manager.status("serves".into());
        manager.status("serves less".into());
        assert_eq!(heard(), "STATUS=serves less", "an unchanged status is not sent");
        manager.alive();
        assert_eq!(heard(), "WATCHDOG=1");
        manager.reloading();
        let said = heard();
        let time = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the time of the reload");
        assert!(time.parse::<u64>().unwrap() > 0);
        manager.stopping();
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping");
    }

    #[test]
    fn every_change_is_sent_to_a_path_and_to_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        live(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
        let name = format!("xstun-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        live(&UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}"));
    }

    #[test]
    fn an_address_that_is_not_a_socket_is_refused_by_name() {
        let Err(failure) = ServiceManager::new(Some(OsStr::new("notify.sock")), false) else {
            panic!("a relative path is no socket");
        };
        assert!(failure.to_string().contains("'notify.sock' (NOTIFY_SOCKET)"), "{failure}");
        assert!(ServiceManager::new(None, true).is_ok());
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        assert!(is_for_us(Some("30000000"), None, 7));
        assert!(is_for_us(Some("30000000"), Some("7"), 7));
        assert!(!is_for_us(Some("30000000"), Some("8"), 7));
        assert!(!is_for_us(Some("0"), None, 7));
        assert!(!is_for_us(None, Some("7"), 7));
    }
}
