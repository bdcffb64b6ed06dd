//! What an operator can set about the controller.

use std::time::Duration;

use mcp_plan::auto::Allowance;

/// The controller's settings, with the defaults of `deploy/examples/mcp-agent.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agent's instance id: what its containers' `mcp.agent` label says (S3).
    pub agent: String,
    /// The resync interval (S27).
    pub interval: Duration,
    /// How long state drift may be left to a restart policy before it opens (S29).
    pub settle: Duration,
    /// How long drift that changed intent has made may stand before it alerts (S29).
    pub settle_intent: Duration,
    /// How long the runtime must have been failing before an outage of the node opens (S31).
    pub settle_outage: Duration,
    /// How long alerts of one kind about one component are held back after one was sent (S30).
    pub cooldown: Duration,
    /// More transitions than this within `flap_window` are flapping (S30).
    pub flap_threshold: u32,
    /// See `flap_threshold`.
    pub flap_window: Duration,
    /// Whether the end of an incident is told (S30).
    pub notify_close: bool,
    /// How long events are kept.
    pub retention: Duration,
    /// How often drift may be acted on without being asked (S35); not at all where absent.
    pub auto: Option<Allowance>,
}

impl Settings {
    /// The defaults, for the agent with this instance id.
    pub fn new(agent: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            interval: Duration::from_mins(1),
            settle: Duration::from_secs(2),
            settle_intent: Duration::from_mins(1),
            settle_outage: Duration::from_secs(10),
            cooldown: Duration::from_mins(15),
            flap_threshold: 3,
            flap_window: Duration::from_mins(10),
            notify_close: true,
            retention: Duration::from_hours(30 * 24),
            auto: None,
        }
    }
}
