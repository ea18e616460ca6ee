//! The conformance table, held against the program: over AF_XDP, over UDP sockets, over TCP and over TLS. The same
//! bytes get the same reply on each path, up to the address of who asks.

mod streamed;
mod wired;
