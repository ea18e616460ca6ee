//! The asking side: one question like a person's, or millions.
