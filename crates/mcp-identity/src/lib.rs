//! Who calls: tokens, verifiers, certificates and TLS settings.
