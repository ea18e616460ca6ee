//! The HTTP of it: connections, paths, headers.

use super::Asker;
use super::families;
use super::page;
use super::trial::Trial;
use crate::control::ready::{Ready, State};
use crate::status::Status;
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

/// Connections at a time. Who comes when all are taken waits in the kernel's backlog.
pub(super) const PLACES: usize = 32;
/// How long a peer may take to say what it wants.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Most bytes of a request that are kept.
const REQUEST: usize = 8 << 10;
/// How long the control loop may take to answer before it counts as stuck. It waits for the kernel now
/// and then, when addresses change.
const PATIENCE: Duration = Duration::from_secs(3);
/// Wait after the machine refused a connection for want of something.
const PAUSE: Duration = Duration::from_millis(100);

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Takes connections for ever.
pub(super) async fn keep(listener: TcpListener, teller: Teller) {
    let (places, teller) = (Arc::new(Semaphore::new(PLACES)), Arc::new(teller));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let teller = Arc::clone(&teller);
                tokio::spawn(async move {
                    // A peer that is slow is dropped, and one that is gone needs nothing.
                    let _ = timeout(LIMIT, serve(stream, teller)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, teller: Arc<Teller>) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let teller = Arc::clone(&teller);
        async move { Ok::<_, Infallible>(teller.answer(&request).await) }
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
pub(super) struct Teller {
    ask: mpsc::Sender<Asker>,
    ready: Ready,
    trial: Trial,
}

impl Teller {
    /// Asks the control loop by `ask`.
    pub(super) fn new(ask: mpsc::Sender<Asker>, ready: Ready) -> Self {
        Teller { ask, ready, trial: Trial::default() }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = told(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/status.json" => match self.status().await {
                Some(status) => match serde_json::to_vec(&status) {
                    Ok(json) => told(StatusCode::OK, JSON, json),
                    Err(error) => fault(&error.to_string()),
                },
                None => stuck(),
            },
            "/healthz" => match self.status().await {
                Some(_) => told(StatusCode::OK, TEXT, "alive\n"),
                None => stuck(),
            },
            "/readyz" => self.ready().await,
            path => match page::file(path) {
                Some((kind, text)) => told(StatusCode::OK, kind, text),
                None => told(
                    StatusCode::NOT_FOUND,
                    TEXT,
                    "there are /, /metrics, /healthz, /readyz and /status.json\n",
                ),
            },
        }
    }

    /// The status, if the control loop turns.
    async fn status(&self) -> Option<Status> {
        let (asker, answer) = oneshot::channel();
        timeout(PATIENCE, async {
            self.ask.send(asker).await.ok()?;
            answer.await.ok()
        })
        .await
        .ok()?
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let Some(status) = self.status().await else { return stuck() };
        match families::exposition(&status) {
            Ok(text) => told(StatusCode::OK, families::CONTENT_TYPE, text),
            Err(error) => fault(&error.to_string()),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        match self.ready.state() {
            State::Starting => return not_ready("not everything serves yet"),
            State::Draining => return not_ready("draining"),
            State::Serving => {}
        }
        let Some(status) = self.status().await else { return stuck() };
        let failings = self.trial.check(&status).await;
        if failings.is_empty() {
            return told(StatusCode::OK, TEXT, "ready\n");
        }
        let lines: String = failings.iter().map(|failing| format!("not ready: {failing}\n")).collect();
        told(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
    }
}

fn told(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
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
    told(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n"))
}

fn stuck() -> Response<Full<Bytes>> {
    told(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the control loop does not answer\n")
}

fn fault(what: &str) -> Response<Full<Bytes>> {
    told(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{what}\n"))
}
