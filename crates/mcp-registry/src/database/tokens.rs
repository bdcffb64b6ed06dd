//! Tokens of the local provider. Only their SHA-256 is stored.

use mcp_model::Stamp;
use rusqlite::{OptionalExtension, Result, Row, params};

use super::Database;
use crate::columns::{json, maybe_text, text, to_json};
use crate::error::RegistryError;

/// A token to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it is called in lists and when it is revoked.
    pub id: String,
    /// Whose it is.
    pub subject: String,
    /// What its bearer may do.
    pub roles: Vec<String>,
    /// When it was issued.
    pub created: Stamp,
    /// When it ends.
    pub expires: Stamp,
}

/// A token as it is stored. Whether it still counts is for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// What it is called.
    pub id: String,
    /// Whose it is.
    pub subject: String,
    /// What its bearer may do.
    pub roles: Vec<String>,
    /// When it was issued.
    pub created: Stamp,
    /// When it ends.
    pub expires: Stamp,
    /// When it was revoked.
    pub revoked: Option<Stamp>,
}

/// Which tokens to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSelector {
    /// The one of this id.
    Id(String),
    /// All of this subject.
    Subject(String),
}

impl Database {
    /// Stores a token. Its hash and its id must be new.
    pub fn insert_token(&mut self, token: &NewToken) -> std::result::Result<(), RegistryError> {
        self.write("store a token", |tx| {
            tx.prepare_cached(
                "INSERT INTO tokens (hash, id, subject, roles, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                token.hash,
                token.id,
                token.subject,
                to_json(&token.roles)?,
                token.created.to_string(),
                token.expires.to_string(),
            ])?;
            Ok(())
        })
    }

    /// The token of that SHA-256, expired and revoked ones included.
    pub fn find_token(
        &self,
        hash: &[u8; 32],
    ) -> std::result::Result<Option<TokenRecord>, RegistryError> {
        self.read("look up a token", |conn| {
            conn.prepare_cached("SELECT * FROM tokens WHERE hash = ?1")?
                .query_row([hash], record)
                .optional()
        })
    }

    /// Every token, in order of issue.
    pub fn tokens(&self) -> std::result::Result<Vec<TokenRecord>, RegistryError> {
        self.read("list the tokens", |conn| {
            conn.prepare_cached("SELECT * FROM tokens ORDER BY rowid")?
                .query_map([], record)?
                .collect()
        })
    }

    /// Revokes tokens; those that were revoked before keep their time. Returns the ids of those
    /// that it revoked.
    pub fn revoke_tokens(
        &mut self,
        which: &TokenSelector,
        at: Stamp,
    ) -> std::result::Result<Vec<String>, RegistryError> {
        let (column, value) = match which {
            TokenSelector::Id(id) => ("id", id),
            TokenSelector::Subject(subject) => ("subject", subject),
        };
        self.write("revoke tokens", |tx| {
            tx.prepare_cached(&format!(
                "UPDATE tokens SET revoked_at = ?2 WHERE {column} = ?1 AND revoked_at IS NULL
                 RETURNING id"
            ))?
            .query_map(params![value, at.to_string()], |row| row.get(0))?
            .collect()
        })
    }
}

fn record(row: &Row<'_>) -> Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get("id")?,
        subject: row.get("subject")?,
        roles: json(row, "roles")?,
        created: text(row, "created_at")?,
        expires: text(row, "expires_at")?,
        revoked: maybe_text(row, "revoked_at")?,
    })
}
