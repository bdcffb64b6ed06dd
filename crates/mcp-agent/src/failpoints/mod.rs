//! Points at which a test may end the agent, as a crash would (S13–S16).
//!
//! Before and after each call that the controller makes to the world, at the acceptance of an
//! operation, and between the spawn, the record and the release of a child. Only in builds with the
//! feature `failpoints`, and those are never releases: without it a point is nothing at all.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!(
    "the feature `failpoints` lets anybody who sets a variable end the agent: not in a release"
);

#[cfg(feature = "failpoints")]
mod ports;
#[cfg(feature = "failpoints")]
mod switch;

#[cfg(feature = "failpoints")]
pub use switch::Failpoints;

/// No points.
#[cfg(not(feature = "failpoints"))]
#[derive(Debug, Clone, Default)]
pub struct Failpoints(());

#[cfg(not(feature = "failpoints"))]
impl Failpoints {
    /// There is nothing to set.
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// Nothing happens here.
    pub fn pass(&self, _point: &str) {}

    /// The ports as they are.
    #[must_use]
    pub fn around(&self, ports: mcp_controller::Ports) -> mcp_controller::Ports {
        ports
    }

    /// Nobody is told of children.
    pub fn follow(&self, _children: &mcp_runtime::Children) {}
}
