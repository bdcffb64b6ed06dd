//! Who vouches for the callers of this node (S37).

use std::sync::Arc;

use anyhow::Context as _;
use mcp_config::agent::{AgentConfig, Provider};
use mcp_controller::port::Clock;
use mcp_identity::mcias::ANSWER_LIMIT;
use mcp_identity::{CaSource, LocalVerifier, Mcias, MciasVerifier, Verifier};
use mcp_registry::Registry;

use crate::adapters::tokens::RegisteredTokens;

/// The verifier of the provider in force.
pub(super) fn verifier(
    config: &AgentConfig,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Verifier>> {
    let clock = Arc::clone(clock);
    if let Some(service) = identity_service(config)? {
        let clock = Arc::new(move || clock.now());
        return Ok(Arc::new(MciasVerifier::new(service, clock)));
    }
    let tokens = Arc::new(RegisteredTokens(registry.clone()));
    let now = Arc::new(move || clock.now().wall);
    Ok(Arc::new(LocalVerifier::new(tokens, now)))
}

/// The identity service that vouches for callers, where it is not the node itself. It is not asked
/// anything yet.
pub fn identity_service(config: &AgentConfig) -> anyhow::Result<Option<Mcias>> {
    if config.provider() == Provider::Local {
        return Ok(None);
    }
    let url = config.mcias.server_url.as_deref();
    let url = url.context("[mcias] server_url is not set")?;
    let ca = config.mcias.ca_cert.clone().map(CaSource::File);
    let service = Mcias::new(url, ca.as_ref(), ANSWER_LIMIT);
    Ok(Some(
        service.context("cannot prepare for the identity service")?,
    ))
}
