//! `mcp-agent check-config`: what is in force, and whether it can be used.

use anyhow::Context as _;
use mcp_model::Stamp;

use super::{ConfigFile, out};

pub(super) fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let config = file.load()?;
    mcp_identity::server_config(&config.server.tls_cert, &config.server.tls_key)?;
    mcp_identity::check_certificate(&config.server.tls_cert, Stamp::new(jiff::Timestamp::now()))
        .context("the server's certificate cannot be used")?;
    crate::node::identity_service(&config)?;
    out::say(&format!(
        "{} can be used; with what the environment overrides, it says:\n",
        file.config.display()
    ));
    out::data(mcp_config::agent::render(&config).trim_end());
    Ok(())
}
