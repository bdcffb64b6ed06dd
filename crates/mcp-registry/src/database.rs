//! One connection and everything that is done through it.
//!
//! Methods that change something run in one immediate transaction; methods that read more than one
//! table run in one snapshot. Nothing here waits for anything but `SQLite` itself.

mod accept;
pub(crate) mod audit;
mod backup;
pub(crate) mod events;
mod incidents;
mod intent;
mod key_state;
pub(crate) mod news;
mod node;
mod observe;
mod open;
pub(crate) mod operations;
mod probe;
mod prune;
mod services;
mod standing;
mod steps;
mod sync;
pub(crate) mod tokens;

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::RegistryError;

/// How a registry is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a call waits for another process that holds the database.
    pub busy_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// The registry over one connection. Calls block while `SQLite` works.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
}

impl Database {
    /// Runs `act` in one transaction. It is rolled back where `act` fails.
    fn write<T>(
        &mut self,
        operation: &'static str,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        let sql = |source| RegistryError::sql(operation, source);
        self.try_write(operation, |tx| act(tx).map_err(sql))
    }

    /// As [`Database::write`], for acts that can be refused.
    fn try_write<T, E: From<RegistryError>>(
        &mut self,
        operation: &'static str,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let sql = |source| RegistryError::sql(operation, source);
        // Immediate: a transaction that reads before it writes must not find at its first write
        // that another process was faster.
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        let done = act(&tx)?;
        tx.commit().map_err(sql)?;
        Ok(done)
    }

    /// Runs `look` on one snapshot.
    fn read<T>(
        &self,
        operation: &'static str,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        let snapshot = || {
            let tx = self.conn.unchecked_transaction()?;
            let seen = look(&tx)?;
            tx.finish()?;
            Ok(seen)
        };
        snapshot().map_err(|source| RegistryError::sql(operation, source))
    }

    /// The random id that this node's agent has for as long as its registry lives: the label
    /// `mcp.agent` of every container that it makes.
    pub fn instance_id(&self) -> Result<String, RegistryError> {
        self.read("read the agent's instance id", |conn| {
            let query = "SELECT value FROM meta WHERE key = 'instance_id'";
            conn.query_row(query, [], |row| row.get(0))
        })
    }

    /// The number of the last migration that was applied.
    pub fn schema_version(&self) -> Result<u32, RegistryError> {
        self.read("read the schema version", |conn| {
            conn.pragma_query_value(None, "user_version", |row| row.get(0))
        })
    }

    /// Rows that this connection has inserted, changed or deleted since it was opened.
    pub fn total_changes(&self) -> u64 {
        self.conn.total_changes()
    }

    /// Moves everything from the write-ahead log into the database file.
    pub fn checkpoint(&mut self) -> Result<(), RegistryError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|source| RegistryError::sql("checkpoint the registry", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Database {
        pub(crate) fn panic_in_the_middle_of_a_write(&mut self) {
            let panics = |tx: &Transaction<'_>| {
                tx.execute("DELETE FROM meta", [])?;
                panic!("a test says so");
            };
            let _: Result<(), _> = self.write("panic", panics);
        }
    }

    fn fill(database: &mut Database) -> Result<(), RegistryError> {
        database.write("fill the database", |tx| {
            tx.execute("INSERT INTO meta VALUES ('x', hex(zeroblob(1000000)))", [])
                .map(|_| ())
        })
    }

    #[test]
    fn a_full_and_a_read_only_database_are_told_apart_and_go_on_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        let mut database = Database::open(&path, &Options::default()).unwrap();
        database
            .conn
            .pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))
            .unwrap();
        let full = fill(&mut database).unwrap_err();
        assert!(matches!(
            full,
            RegistryError::Full {
                operation: "fill the database",
                ..
            }
        ));
        assert_eq!(
            full.to_string(),
            "cannot fill the database: the registry's file system is full"
        );

        let mut reader = Database::open_reader(&path, &Options::default()).unwrap();
        let refused = fill(&mut reader).unwrap_err();
        assert!(matches!(
            refused,
            RegistryError::ReadOnly {
                operation: "fill the database",
                ..
            }
        ));

        assert_eq!(
            reader.instance_id().unwrap(),
            database.instance_id().unwrap()
        );
        database.audits(1).unwrap();
    }
}
