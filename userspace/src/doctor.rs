//! What a person needs to know before going live.
