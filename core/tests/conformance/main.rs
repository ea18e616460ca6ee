//! The conformance table, held against the core: against messages in memory, and against frames.

mod framed;
mod memory;
