//! A minimal HTTP/1.1 client: one request per connection, the response is read to its end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use xstun_testkit::lab::Namespace;
use xstun_testkit::wait::LIMIT;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// Value of the header `name`, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The body, parsed as JSON; panics if it is not.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Connects from within the namespace.
pub(crate) fn connect(namespace: &Namespace, server: SocketAddr) -> TcpStream {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&server, LIMIT));
    let stream = stream.unwrap_or_else(|error| panic!("connecting to {server}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).expect("the limit is not zero");
    stream
}

/// Sends a request with this method, and returns the response.
pub(crate) fn request(namespace: &Namespace, server: SocketAddr, method: &str, path: &str) -> Response {
    let mut stream = connect(namespace, server);
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")
        .expect("the request is sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let (head, body) =
        text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: no head in {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{method} {path}: no status in {head:?}"));
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// Sends a GET request, and returns the response.
pub(crate) fn get(namespace: &Namespace, server: SocketAddr, path: &str) -> Response {
    request(namespace, server, "GET", path)
}
