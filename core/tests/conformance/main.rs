//! Tests the core with the conformance table: messages in memory, and frames.

mod frames;
mod memory;
