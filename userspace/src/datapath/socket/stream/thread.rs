//! The thread that serves all connections.

use super::listen;
use super::stats::StreamStats;
use super::stopping::StopSignal;
use super::transport::ConnectionContext;
use crate::privileges;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

/// Niceness of the thread: handshakes are expensive, and datagrams take precedence.
const NICENESS: i32 = 5;

/// How often the thread shows that it runs.
const BEAT: Duration = Duration::from_secs(1);

/// A listener that the thread shall accept from.
pub(super) struct NewListener {
    pub(super) socket: TcpListener,
    pub(super) context: Arc<ConnectionContext>,
    /// Its sender is dropped to close the listener.
    pub(super) close: oneshot::Receiver<()>,
    /// Dropped once the listener is closed.
    pub(super) open: SyncSender<()>,
    /// Reports whether the runtime accepts from the listener.
    pub(super) opened: SyncSender<io::Result<()>>,
}

/// Reports how it began, and returns when every connection has ended after the order to stop.
pub(super) fn run(
    mut listeners: mpsc::UnboundedReceiver<NewListener>,
    mut stop: StopSignal,
    begun: &SyncSender<io::Result<()>>,
) {
    if let Err(failure) = privileges::drop_all() {
        return report(begun, Err(io::Error::other(failure)));
    }
    // On Linux this sets the calling thread's own niceness. The thread serves without it too.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    // Created here, since a runtime must not be dropped on the control loop's thread.
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(begun, Err(error)),
    };
    runtime.block_on(async {
        // Closed when the last task that holds a sender has ended.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        report(begun, Ok(()));
        let mut beat = tokio::time::interval(BEAT);
        let mut served: Vec<Arc<StreamStats>> = Vec::new();
        loop {
            let listener = tokio::select! {
                biased;
                () = stop.ordered() => break,
                listener = listeners.recv() => listener,
                _ = beat.tick() => {
                    served.iter().for_each(|stats| stats.messages.idle.add(1));
                    continue;
                }
            };
            let Some(listener) = listener else { break };
            if !served.iter().any(|stats| Arc::ptr_eq(stats, &listener.context.stats)) {
                served.push(Arc::clone(&listener.context.stats));
            }
            accept(listener, &stop, &alive);
        }
        drop(alive);
        let _ = ended.recv().await;
    });
}

/// Starts a task that accepts from a listener.
fn accept(listener: NewListener, stop: &StopSignal, alive: &mpsc::Sender<()>) {
    let NewListener { socket, context, close, open, opened } = listener;
    match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => {
            let (stop, alive) = (stop.clone(), alive.clone());
            tokio::spawn(async move {
                listen::keep(listener, context, close, stop, alive).await;
                drop(open);
            });
            report(&opened, Ok(()));
        }
        Err(error) => report(&opened, Err(error)),
    }
}

/// Reports to the thread that waits.
fn report(waiting: &SyncSender<io::Result<()>>, result: io::Result<()>) {
    let _ = waiting.send(result);
}
