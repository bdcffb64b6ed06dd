//! What a peer may take of the agent: every limit of the front door, tried by a peer who takes more,
//! while somebody honest is served.

mod crowds;
mod frames;
mod process;
mod raw;
mod requests;

use std::time::Duration;

use mcp_agent::serve::limits::Limits;
use mcp_proto::v1;

use crate::support::{FOREVER, Node, within};

/// Short enough to be waited for, and long enough for what is to happen before it is over: a busy
/// machine may take tens of milliseconds for it.
const SHORT: Duration = Duration::from_secs(1);

/// A node with limits that a test can reach; everything else takes as long as it likes.
async fn node(adjust: impl FnOnce(&mut Limits)) -> Node {
    let mut limits = Limits {
        handshake: FOREVER,
        first_call: FOREVER,
        idle: FOREVER,
        keepalive_interval: FOREVER,
        keepalive_timeout: FOREVER,
        call: FOREVER,
        ..Limits::default()
    };
    adjust(&mut limits);
    Node::start_limited(limits).await
}

/// Somebody with a token comes, asks and is answered.
async fn assert_serves(node: &Node) {
    let asked = async {
        let mut client = node.client().await;
        client.list_services(v1::ListServicesRequest {}).await
    };
    within("an honest client is served", asked).await.unwrap();
}
