//! Pure decisions: what differs, what to do about it, what to say about it.
