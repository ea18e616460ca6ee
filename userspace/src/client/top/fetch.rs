//! Fetches a server's status over HTTP.

use crate::error::{Failure, Result};
use crate::status::{METRICS_PORT, ServerStatus};
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

/// How long the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest body that is read, in bytes. A queue takes less than 2 KiB.
const LONGEST_BODY: usize = 16 << 20;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Returns a runtime for [`status`].
///
/// # Errors
/// System: the runtime cannot be started.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start a runtime").because(error))
}

/// Fetches the status of the server at `address`.
///
/// # Errors
/// System: the server does not answer, or not with a status.
pub(super) async fn status(address: SocketAddr) -> Result<ServerStatus> {
    let failed = |cause: Cause| {
        let failure = Failure::system(format!("cannot fetch http://{address}/status.json")).because(cause);
        let refused = failure.errno() == Some(libc::ECONNREFUSED);
        let remedy =
            format!("start `xstun serve` there with --metrics-listen, for example 127.0.0.1:{METRICS_PORT}");
        if refused { failure.remedy(remedy) } else { failure }
    };
    let answered = timeout(TIMEOUT, get(address, "/status.json")).await;
    let (code, body) = answered.unwrap_or_else(|_| Err("no answer in time".into())).map_err(failed)?;
    if code != StatusCode::OK {
        let body = String::from_utf8_lossy(&body);
        return Err(failed(format!("{code}: {}", body.lines().next().unwrap_or_default()).into()));
    }
    serde_json::from_slice(&body)
        .map_err(|error| failed(error.into()).remedy("check that this is an xstun of the same version"))
}

async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Cause> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with the response, which also reports its errors.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    Ok((code, Limited::new(response.into_body(), LONGEST_BODY).collect().await?.to_bytes()))
}
