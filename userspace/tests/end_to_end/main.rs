//! The server as a stranger meets it: over a veth pair, between two network namespaces, asked by raw
//! frames, by plain sockets and by other people's clients.

mod addresses;
mod browser;
mod clients;
mod credentials;
mod discovery;
mod errors;
mod frames;
mod handover;
mod http;
mod laboratory;
mod lifecycle;
mod load;
mod metrics;
mod modes;
mod page;
mod passing;
mod prometheus;
mod reload;
mod service;
mod streams;
mod top;
