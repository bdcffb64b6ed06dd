//! End-to-end tests: the real binaries, real TLS, real podman, a real registry.
