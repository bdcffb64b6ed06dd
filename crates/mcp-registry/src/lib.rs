//! The node's registry: SQLite behind one writer thread.
