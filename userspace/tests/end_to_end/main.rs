//! Tests the server from outside: over a veth pair between two network namespaces, with raw frames,
//! plain sockets and third-party clients.

mod addresses;
mod browser;
mod capture;
mod clients;
mod credentials;
mod discovery;
mod errors;
mod frames;
mod handover;
mod http;
mod kernel_answers;
mod laboratory;
mod lifecycle;
mod load;
mod losses;
mod metrics;
mod modes;
mod page;
mod passing;
mod prometheus;
mod reload;
mod service;
mod streams;
mod top;
