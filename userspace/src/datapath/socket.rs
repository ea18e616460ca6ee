//! The socket path: one worker a core, SO_REUSEPORT, batches.
