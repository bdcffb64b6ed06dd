//! Requests as they come over the wire.

use mcp_proto::convert::InvalidField;
use mcp_proto::convert::request;
use mcp_proto::convert::spec::{service_from_wire, service_to_wire};
use mcp_proto::v1;
use prost::Message;

use crate::grammar;

/// Any bytes as the message of an RPC: the first one says which. What is accepted is within the
/// grammars and can be sent again; what is refused names its field, in words that can be logged.
pub(crate) fn check(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => check_sync(message),
        1 => check_field(message, |wire| request::deploy(wire).map(drop)),
        2 => check_field(message, |wire| request::plan(wire).map(drop)),
        3 => check_field(message, |wire| request::undeploy(wire).map(drop)),
        4 => check_field(message, |wire| request::stop(wire).map(drop)),
        _ => check_field(message, |wire: v1::ListEventsRequest| {
            request::events(&wire).map(drop)
        }),
    }
}

fn check_field<M: Message + Default>(
    message: &[u8],
    convert: impl FnOnce(M) -> Result<(), InvalidField>,
) {
    if let Ok(wire) = M::decode(message)
        && let Err(error) = convert(wire)
    {
        check_refusal(&error);
    }
}

fn check_sync(message: &[u8]) {
    let Ok(wire) = v1::SyncDesiredStateRequest::decode(message) else {
        return;
    };
    match request::sync(wire) {
        Err(error) => check_refusal(&error),
        Ok(intent) => {
            for service in &intent.services {
                grammar::assert_service(service);
                let sent = service_from_wire(service_to_wire(service));
                assert_eq!(sent.as_ref(), Ok(service), "sent and received again");
            }
        }
    }
}

fn check_refusal(error: &InvalidField) {
    let words = error.to_string();
    grammar::assert_plain(&words);
    assert!(words.len() <= 4096, "a refusal as long as its cause");
}
