//! What a gRPC status means to an operator.

use std::error::Error;

use mcp_config::cli::Node;
use tonic::{Code, Status};

use crate::problem::Problem;

/// What the agent said, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Said {
    words: String,
    code: Code,
}

/// Whether the connection broke: a status that was made on this side carries the error that it was
/// made from.
pub(crate) fn is_lost(status: &Status) -> bool {
    status.source().is_some() && !is_late(status)
}

/// Whether somebody's deadline passed, ours or the agent's.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// Why an operation was not waited for to its end, if that is what the status says. Only the
/// agent knows whether it was accepted.
pub(crate) fn left_because(status: &Status) -> Option<String> {
    match status.code() {
        _ if is_late(status) => Some("it did not end in time".to_owned()),
        _ if is_lost(status) => Some("the connection was lost".to_owned()),
        Code::Aborted | Code::Unavailable => Some(status.message().to_owned()),
        _ => None,
    }
}

/// What went wrong, on one line.
pub(crate) fn words(status: &Status) -> String {
    if is_lost(status) {
        "the connection was lost".to_owned()
    } else {
        status.message().to_owned()
    }
}

/// Whether there is no word of the agent on what became of the request.
pub(crate) fn is_unanswered(status: &Status) -> bool {
    is_late(status) || is_lost(status)
}

/// The status as a problem: what was tried on which node, the agent's words, and what to do.
pub(crate) fn explain(node: &Node, tried: &str, status: &Status) -> Problem {
    let at = format!("{} ({})", node.name, node.address);
    let lost = is_lost(status);
    let (what, help) = match status.code() {
        _ if lost => (
            format!("cannot {tried}: the connection to {at} was lost"),
            Some("look at the agent: systemctl status mcp-agent".to_owned()),
        ),
        Code::Unauthenticated => (
            format!("cannot {tried}: {at} refused the token"),
            Some(crate::dial::renew(node)),
        ),
        Code::PermissionDenied if node.address.as_socket().is_some() => (
            format!("cannot {tried}: {at} refused"),
            Some("call as the agent's own user or as root: try with sudo".to_owned()),
        ),
        Code::PermissionDenied => (
            format!("cannot {tried}: {at} knows the token, but its holder may not do this"),
            Some("use the token of an administrator".to_owned()),
        ),
        Code::Unimplemented => (
            format!("cannot {tried}: the agent on {at} does not know how"),
            Some("upgrade the agent to the release of this mcp".to_owned()),
        ),
        Code::Unavailable => (
            format!("cannot {tried}: {at} cannot answer now"),
            Some("try again in a moment".to_owned()),
        ),
        Code::DeadlineExceeded | Code::Cancelled => (
            format!("cannot {tried}: {at} did not finish in time"),
            Some("wait longer with --timeout".to_owned()),
        ),
        Code::Aborted => (
            format!("cannot {tried}: another operation holds it on {at}"),
            Some("wait for that one to end, then repeat the command".to_owned()),
        ),
        Code::ResourceExhausted => (
            format!("cannot {tried}: {at} is out of something, or the request is too large"),
            None,
        ),
        Code::Internal | Code::Unknown | Code::DataLoss => (
            format!("cannot {tried}: the agent on {at} failed"),
            Some("its log says more: journalctl -u mcp-agent".to_owned()),
        ),
        Code::NotFound => (
            format!("cannot {tried}: {at} refused"),
            Some("mcp list shows what the nodes know".to_owned()),
        ),
        _ => (format!("cannot {tried}: {at} refused"), None),
    };
    let problem = Problem::new(what);
    let problem = problem.because(said(status));
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn said(status: &Status) -> Said {
    let mut words: Vec<String> = vec![status.message().trim().to_owned()];
    let mut source = status.source();
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    words.dedup();
    words.retain(|text| !text.is_empty());
    if words.is_empty() {
        words.push(status.code().description().to_owned());
    }
    Said {
        words: words.join(": "),
        code: status.code(),
    }
}

/// The code that an agent's refusal carried, somewhere in the chain of `error`.
pub(crate) fn code_of(error: &anyhow::Error) -> Option<Code> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Said>())
        .map(|said| said.code)
}
