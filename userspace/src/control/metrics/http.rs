//! HTTP: connections, paths, headers.

use super::StatusReply;
use super::families;
use super::page;
use super::self_test::SelfTest;
use crate::control::state::{ServerState, SharedState};
use crate::status::ServerStatus;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Most connections at a time. Further ones wait in the kernel's backlog.
pub(super) const CONNECTIONS: usize = 32;
/// How long a peer may take to send its request.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Most bytes of a request that are buffered.
const REQUEST: usize = 8 << 10;
/// How long the control loop may take to answer before it counts as stuck. It waits for the kernel when
/// addresses change.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause after accept(2) failed for lack of a resource.
const PAUSE: Duration = Duration::from_millis(100);

/// Content security policy: nothing from elsewhere, nothing inline, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Accepts connections for ever and serves each.
pub(super) async fn serve(listener: TcpListener, responder: Responder) {
    let (permits, responder) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(responder));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let responder = Arc::clone(&responder);
                tokio::spawn(async move {
                    // A peer that is too slow is dropped; errors of one that is gone do not matter.
                    let _ = timeout(LIMIT, serve_connection(stream, responder)).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, responder: Arc<Responder>) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(responder.answer(&request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .keep_alive(false)
        .max_buf_size(REQUEST)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// Answers requests.
pub(super) struct Responder {
    ask: mpsc::Sender<StatusReply>,
    state: SharedState,
    self_test: SelfTest,
}

impl Responder {
    /// Takes the channel to the control loop and the state of the server.
    pub(super) fn new(ask: mpsc::Sender<StatusReply>, state: SharedState) -> Self {
        Responder { ask, state, self_test: SelfTest::default() }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/status.json" => match self.status().await {
                Some(status) => match serde_json::to_vec(&status) {
                    Ok(json) => response(StatusCode::OK, JSON, json),
                    Err(error) => fault(&error.to_string()),
                },
                None => stuck(),
            },
            "/healthz" => match self.status().await {
                Some(_) => response(StatusCode::OK, TEXT, "alive\n"),
                None => stuck(),
            },
            "/readyz" => self.ready().await,
            path => match page::file(path) {
                Some((kind, text)) => response(StatusCode::OK, kind, text),
                None => response(
                    StatusCode::NOT_FOUND,
                    TEXT,
                    "not found; the paths are /, /metrics, /healthz, /readyz and /status.json\n",
                ),
            },
        }
    }

    /// Returns the status, unless the control loop is stuck.
    async fn status(&self) -> Option<ServerStatus> {
        let (reply, answer) = oneshot::channel();
        timeout(PATIENCE, async {
            self.ask.send(reply).await.ok()?;
            answer.await.ok()
        })
        .await
        .ok()?
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let Some(status) = self.status().await else { return stuck() };
        match families::exposition(&status) {
            Ok(text) => response(StatusCode::OK, families::CONTENT_TYPE, text),
            Err(error) => fault(&error.to_string()),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        match self.state.get() {
            ServerState::Starting => return not_ready("starting"),
            ServerState::Draining => return not_ready("draining"),
            ServerState::Serving => {}
        }
        let Some(status) = self.status().await else { return stuck() };
        let failures = self.self_test.run(&status).await;
        if failures.is_empty() {
            return response(StatusCode::OK, TEXT, "ready\n");
        }
        let lines: String = failures.iter().map(|failure| format!("not ready: {failure}\n")).collect();
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn not_ready(why: &str) -> Response<Full<Bytes>> {
    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n"))
}

fn stuck() -> Response<Full<Bytes>> {
    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the control loop does not answer\n")
}

fn fault(what: &str) -> Response<Full<Bytes>> {
    response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{what}\n"))
}
