//! Tests the server with the conformance table over AF_XDP, UDP sockets, TCP and TLS. The same request gets the same
//! reply on each path, except for the client's address in it.

mod datagrams;
mod streams;
