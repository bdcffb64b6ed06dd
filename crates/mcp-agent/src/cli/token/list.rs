//! Tokens as a table or as JSON.

use mcp_model::Stamp;
use mcp_proto::convert::time::stamp_from_wire;
use mcp_proto::v1;
use serde::Serialize;

use crate::cli::out;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    subject: &'a str,
    roles: &'a [String],
    created: Option<Stamp>,
    expires: Option<Stamp>,
    revoked: Option<Stamp>,
    state: &'static str,
}

pub(super) fn stamp(wire: Option<prost_types::Timestamp>) -> Option<Stamp> {
    stamp_from_wire("time", wire?).ok()
}

fn row(info: &v1::TokenInfo, now: Stamp) -> Row<'_> {
    let (expires, revoked) = (stamp(info.expires), stamp(info.revoked));
    let state = match (revoked, expires) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if now >= expires => "expired",
        _ => "valid",
    };
    Row {
        id: &info.id,
        subject: &info.subject,
        roles: &info.roles,
        created: stamp(info.created),
        expires,
        revoked,
        state,
    }
}

pub(super) fn print(tokens: &[v1::TokenInfo], output: Output, now: Stamp) -> anyhow::Result<()> {
    let rows: Vec<Row<'_>> = tokens.iter().map(|info| row(info, now)).collect();
    out::data(&match output {
        Output::Json => serde_json::to_string_pretty(&rows)?,
        Output::Table => table(&rows),
    });
    Ok(())
}

fn table(rows: &[Row<'_>]) -> String {
    // Milliseconds are for programs.
    let time = |stamp: Option<Stamp>| match stamp {
        Some(stamp) => stamp
            .to_string()
            .split('.')
            .next()
            .unwrap_or_default()
            .to_owned(),
        None => String::new(),
    };
    let mut cells =
        vec![["ID", "SUBJECT", "ROLES", "STATE", "CREATED", "EXPIRES"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.id.to_owned(),
            row.subject.to_owned(),
            row.roles.join(","),
            row.state.to_owned(),
            time(row.created),
            time(row.expires),
        ]
    }));
    let mut widths = [0; 6];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines = cells.iter().map(|line| {
        let padded = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
