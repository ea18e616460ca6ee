//! Flags, validated.
