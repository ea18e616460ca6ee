//! Asks a server for its status.

use crate::error::{Failure, Result};
use crate::status::{METRICS_PORT, Status};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes. One queue takes less than 2 KiB.
const LONGEST: usize = 16 << 20;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A runtime for this.
///
/// # Errors
/// The system has no file descriptors left, say.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start a runtime").because(error))
}

/// What the server at `address` tells of itself.
///
/// # Errors
/// A sentence with the address, and what it said instead.
pub(super) async fn status(address: SocketAddr) -> Result<Status> {
    let failed = |cause: Cause| {
        let failure = Failure::system(format!("cannot ask http://{address}/status.json")).because(cause);
        let refused = failure.errno() == Some(libc::ECONNREFUSED);
        let remedy =
            format!("is `xstun serve` running there, with --metrics-listen like 127.0.0.1:{METRICS_PORT}?");
        if refused { failure.remedy(remedy) } else { failure }
    };
    let answered = timeout(PATIENCE, get(address, "/status.json")).await;
    let (code, body) = answered.unwrap_or_else(|_| Err("no answer in time".into())).map_err(failed)?;
    if code != StatusCode::OK {
        let said = String::from_utf8_lossy(&body);
        return Err(failed(format!("{code}: {}", said.lines().next().unwrap_or_default()).into()));
    }
    serde_json::from_slice(&body).map_err(|error| {
        failed(error.into()).remedy("is it an xstun of another version, or no xstun at all?")
    })
}

async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Cause> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, which also tells how it ended.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    Ok((code, Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes()))
}
