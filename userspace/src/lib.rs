//! A STUN server (RFC 8489, Binding only) that answers over AF_XDP and falls back to sockets.
//! `docs/architecture.md` is the map.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod cli;
pub mod client;
mod config;
pub mod control;
mod credentials_file;
pub mod datapath;
pub mod doctor;
pub mod error;
mod insecure;
pub mod interface;
pub mod kernel;
pub mod memory;
pub mod output;
pub mod privileges;
pub mod settings;
pub mod stats;
mod status;
pub mod stop;
