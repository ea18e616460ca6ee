//! A running server: its start, its loop over [`Event`]s, its stop.

use super::credentials::CredentialStore;
use super::event::{Event, NetworkChanges, SETTLE, Signals, ticks};
use super::handover::{HandOver, TakeOver};
use super::heartbeats::Heartbeats;
use super::manager::ServiceManager;
use super::metrics::{MetricsListener, MetricsServer};
use super::reload::Reload;
use super::request::ControlRequest;
use super::socket::{ControlSocket, check_free};
use super::state::{Drain, ServerState, SharedState};
use super::supervisor::Supervisor;
use super::{log, report, status};
use crate::config::{Config, FixedConfig};
use crate::datapath::{Datapath, Inheritance, Predecessor};
use crate::error::{Failure, Result};
use crate::interface::Changed;
use crate::privileges::{self, Duties};
use std::ops::ControlFlow;
use tokio::time::{Interval, sleep};

/// What a warning says when the AF_XDP paths could not be brought up to date.
const NOT_FOLLOWED: &str = "cannot follow all changes of addresses and policy";

/// Starts a server and runs it until it is to exit.
///
/// # Errors
/// Something could not be started, or a thread that serves sockets ended.
pub(super) async fn run(reload: &mut Reload, config: Config) -> Result<()> {
    let mut server = RunningServer::start(reload, config)?;
    loop {
        let event = server.next_event().await;
        if let ControlFlow::Break(result) = server.handle(event) {
            server.stop();
            return result;
        }
    }
}

/// A server that serves.
struct RunningServer<'a> {
    reload: &'a mut Reload,
    signals: Signals,
    network: NetworkChanges,
    ticks: Interval,
    manager: ServiceManager,
    state: SharedState,
    drain: Drain,
    credentials: CredentialStore,
    datapath: Datapath,
    control: ControlSocket,
    metrics: MetricsServer,
    supervisor: Supervisor,
    heartbeats: Heartbeats,
    hand_over: HandOver,
    duties: Duties,
}

impl<'a> RunningServer<'a> {
    fn start(reload: &'a mut Reload, config: Config) -> Result<Self> {
        // Before anything is attached, so that from here on no signal ends the process halfway and no
        // change of addresses is missed.
        let signals = Signals::catch()?;
        let network = NetworkChanges::watch()?;
        let mut manager = ServiceManager::find()?;

        let state = SharedState::new();
        let credentials = CredentialStore::new()?;
        let (policy, users) = credentials.policy(&config.live)?;
        if let Some(users) = users {
            tracing::info!(users, "answering authenticated users only");
        }
        let control_path = config.fixed.control.clone();
        let (take_over, mut inheritance) = predecessor(&config.fixed)?;
        let metrics = MetricsListener::bind(&config.fixed, &mut inheritance)?;
        let mut release = |index| take_over.as_ref().map_or(Ok(()), |take_over| take_over.release(index));
        let before = Predecessor { inheritance, release: &mut release };
        let datapath = Datapath::start(config, policy, before)?;
        let control = ControlSocket::open(control_path.as_deref())?;
        let supervisor = Supervisor::new(&datapath);
        let duties = duties(&datapath, &supervisor);
        privileges::serve(duties)?;
        let metrics = metrics.open(&state)?;
        report::serving(&datapath);
        if let Some(take_over) = take_over {
            take_over.complete()?;
            tracing::info!("this server has taken over");
        }
        state.set(ServerState::Serving);
        manager.ready(report::status(&datapath));
        Ok(RunningServer {
            reload,
            signals,
            network,
            ticks: ticks(),
            manager,
            state,
            drain: Drain::default(),
            credentials,
            datapath,
            control,
            metrics,
            supervisor,
            heartbeats: Heartbeats::default(),
            hand_over: HandOver::default(),
            duties,
        })
    }

    /// Waits for the next event.
    async fn next_event(&mut self) -> Event {
        let RunningServer { reload, signals, network, ticks, drain, control, metrics, hand_over, .. } = self;
        tokio::select! {
            _ = signals.interrupt.recv() => Event::Stop("SIGINT"),
            _ = signals.terminate.recv() => Event::Stop("SIGTERM"),
            _ = signals.user.recv() => Event::Drain,
            () = drain.over() => Event::Stop("drained"),
            // A signal that waits here is still handled if the successor is abandoned.
            _ = signals.hangup.recv(), if reload.is_done() && hand_over.may_reload() => Event::Reload,
            () = reload.due() => Event::ContinueReload,
            // Sockets that are being retired must not go to another process.
            request = control.request(), if reload.is_done() => {
                if matches!(request, ControlRequest::Release(..)) {
                    // Frames that met the old program are still on their way to its queues.
                    sleep(SETTLE).await;
                }
                Event::Control(request)
            }
            () = network.ready() => Event::NetworkChange(network.read().await),
            reply = metrics.status_request() => Event::Status(reply),
            _ = ticks.tick() => Event::Tick,
        }
    }

    /// Handles an event. Breaks with the result of the server if it is to exit.
    fn handle(&mut self, event: Event) -> ControlFlow<Result<()>> {
        match event {
            Event::Stop(signal) => {
                tracing::info!(signal, "stopping");
                return ControlFlow::Break(Ok(()));
            }
            Event::Drain => {
                self.begin_draining();
            }
            Event::Reload => {
                self.manager.reloading();
                self.reload.begin(&mut self.datapath, &self.credentials);
                self.report_reload();
            }
            Event::ContinueReload => {
                self.reload.go_on(&mut self.datapath);
                self.report_reload();
            }
            Event::Control(request) => self.serve_request(request),
            Event::NetworkChange(changed) => self.follow(changed),
            Event::Status(reply) => {
                // A client that is gone needs no answer.
                let _ =
                    reply.send(status::of(&self.datapath, &self.supervisor, &self.heartbeats, &self.state));
            }
            Event::Tick => self.tick()?,
        }
        if self.hand_over.is_done() && self.datapath.streams.connections() == 0 {
            return ControlFlow::Break(Ok(()));
        }
        ControlFlow::Continue(())
    }

    /// Begins to drain, unless it has begun. Returns the time that is left.
    fn begin_draining(&mut self) -> std::time::Duration {
        self.drain.begin(&self.state, self.datapath.config().live.drain)
    }

    /// Notifies the service manager once a reload is complete.
    fn report_reload(&mut self) {
        if self.reload.is_done() {
            self.manager.ready(report::status(&self.datapath));
        }
    }

    /// Serves a request over the control socket, or refuses it in the present state of the hand-over.
    fn serve_request(&mut self, request: ControlRequest) {
        let next = match self.hand_over.after(&request) {
            Ok(next) => next,
            Err(why) => return refuse(request, why),
        };
        // A dropped reply means that the thread of the control socket is gone, and the client with it.
        match request {
            ControlRequest::TakeOver(reply) => {
                let inheritance = self.datapath.duplicate().map(|mut all| {
                    all.listeners.extend(self.metrics.bequeath());
                    all
                });
                if inheritance.is_ok() {
                    self.hand_over = next;
                }
                let _ = reply.send(inheritance);
            }
            ControlRequest::Release(index, reply) => {
                self.datapath.close_queues(index);
                let _ = reply.send(());
            }
            ControlRequest::Abandon => {
                self.hand_over = next;
                let what = "the server that was taking over is gone";
                match self.datapath.restore() {
                    Ok(()) => tracing::warn!("{what}: this server continues"),
                    Err(failure) => tracing::warn!("{what}: {failure}"),
                }
            }
            ControlRequest::Complete => {
                self.hand_over = next;
                let connections = self.datapath.streams.connections();
                tracing::info!(connections, "another server has taken over");
                self.manager.stopping();
                self.metrics.close();
                self.datapath.hand_over();
                self.begin_draining();
            }
            ControlRequest::Drain(reply) => {
                let _ = reply.send(self.begin_draining());
            }
        }
    }

    /// Follows a change of links or addresses. A failure is only logged: what was served still is, and
    /// the next tick tries again.
    fn follow(&mut self, changed: Result<Changed>) {
        match changed {
            Ok(changed) if !changed.any() => {}
            Ok(_) => {
                if let Err(failure) = self.datapath.refresh() {
                    tracing::warn!("{NOT_FOLLOWED}: {failure}");
                }
            }
            Err(failure) => tracing::warn!("{failure}"),
        }
    }

    /// Does what is due once a second. Breaks if a thread that serves sockets has ended.
    fn tick(&mut self) -> ControlFlow<Result<()>> {
        if let Some(failure) = self.datapath.failure() {
            return ControlFlow::Break(Err(failure));
        }
        self.credentials.tick();
        self.supervisor.check(&mut self.datapath);
        self.repair();
        self.drop_capabilities();
        if self.hand_over.is_done() {
            // Workers have ended; only connections are left.
            self.manager.alive();
        } else {
            self.manager.status(report::status(&self.datapath));
            if self.heartbeats.check(&self.datapath) {
                self.manager.alive();
            }
        }
        log::report_repeats();
        ControlFlow::Continue(())
    }

    /// Tries again to serve what the kernel did not let us serve. Lines that repeat are counted, not logged.
    fn repair(&mut self) {
        if let Err(failure) = self.datapath.repair() {
            tracing::warn!("{NOT_FOLLOWED}: {failure}");
        }
    }

    /// Drops what no duty needs any more.
    fn drop_capabilities(&mut self) {
        let duties = duties(&self.datapath, &self.supervisor);
        if duties != self.duties {
            self.duties = duties;
            if let Err(failure) = privileges::serve(duties) {
                tracing::warn!("{failure}");
            }
        }
    }

    /// Takes everything down and logs the counters.
    fn stop(mut self) {
        self.manager.stopping();
        let counters = report::WorkerCounters::of_all(&self.datapath);
        let streams = report::streams(&self.datapath);
        let programs = report::ProgramCounters::at_end(&mut self.datapath);
        drop(self.datapath);
        report::counters(&counters, &streams, &programs);
    }
}

/// Answers a request that the state of the hand-over refuses. Where no answer is expected, the connection
/// ends without one.
fn refuse(request: ControlRequest, why: &str) {
    if let ControlRequest::TakeOver(reply) = request {
        let _ = reply.send(Err(Failure::system(why)));
    } else {
        tracing::warn!("unexpected request over --control: {why}");
    }
}

/// Begins to take over, if the configuration says so and a server is there. Returns what it hands over.
fn predecessor(config: &FixedConfig) -> Result<(Option<TakeOver>, Inheritance)> {
    let Some(path) = &config.control else { return Ok((None, Inheritance::default())) };
    if !config.take_over {
        return check_free(path).map(|()| (None, Inheritance::default()));
    }
    match TakeOver::begin(path)? {
        Some((take_over, inheritance)) => Ok((Some(take_over), inheritance)),
        None => {
            tracing::info!("no server listens at {}: there is nothing to take over", path.display());
            Ok((None, Inheritance::default()))
        }
    }
}

/// Returns what the control thread does from here on that needs capabilities.
fn duties(datapath: &Datapath, supervisor: &Supervisor) -> Duties {
    let maps = datapath.interfaces.iter().any(|path| path.af_xdp.is_some());
    let napi = maps && datapath.config().fixed.busy_poll;
    Duties { maps, napi, bind: supervisor.may_bind_again(datapath) }
}
