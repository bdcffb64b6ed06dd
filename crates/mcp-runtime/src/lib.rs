//! The container runtime: podman through its CLI, its hints, and an in-memory fake.
