//! Reading services and components.

use mcp_model::{ComponentKey, ComponentRecord, ComponentSpec, ServiceName, ServiceRecord};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::Database;
use crate::columns::{
    container, count, json, key, maybe_count, maybe_json, maybe_moment, moment, text,
};
use crate::error::RegistryError;

/// Components with the specs that their revisions stand for.
const COMPONENTS: &str = "\
    SELECT c.*, c.name AS component, made.spec AS made_from_spec, deployed.spec AS deployed_spec
    FROM components c
    LEFT JOIN deployed_specs made ON made.service = c.service
        AND made.component = c.name AND made.revision = c.made_from_revision
    LEFT JOIN deployed_specs deployed ON deployed.service = c.service
        AND deployed.component = c.name AND deployed.revision = c.deployed_revision";

impl Database {
    /// Every service with its components, by name.
    pub fn services(&self) -> std::result::Result<Vec<ServiceRecord>, RegistryError> {
        self.read("read the services", services)
    }

    /// One service with its components.
    pub fn service(
        &self,
        name: &ServiceName,
    ) -> std::result::Result<Option<ServiceRecord>, RegistryError> {
        self.read("read a service", |conn| service(conn, name))
    }

    /// Every key that has a record or an open step, in order.
    pub fn keys(&self) -> std::result::Result<Vec<ComponentKey>, RegistryError> {
        self.read("read the component keys", |conn| {
            let query = "\
                SELECT service, name AS component FROM components
                UNION
                SELECT service, component FROM operation_steps
                WHERE state IN ('waiting', 'running')
                ORDER BY 1, 2";
            conn.prepare_cached(query)?.query_map([], key)?.collect()
        })
    }
}

/// Every service with its components, by name.
pub(super) fn services(conn: &Connection) -> Result<Vec<ServiceRecord>> {
    let mut all: Vec<ServiceRecord> = conn
        .prepare_cached("SELECT name, active FROM services ORDER BY name")?
        .query_map([], bare_service)?
        .collect::<Result<_>>()?;
    let query = format!("{COMPONENTS} ORDER BY c.service, c.name");
    let mut statement = conn.prepare_cached(&query)?;
    let mut place = 0;
    for component in statement.query_map([], component_record)? {
        let component = component?;
        // Both lists are in order of service, and no component is without one.
        while all
            .get(place)
            .is_some_and(|service| service.name < component.key.service)
        {
            place += 1;
        }
        if let Some(service) = all.get_mut(place) {
            service.components.push(component);
        }
    }
    Ok(all)
}

/// One service with its components.
pub(super) fn service(conn: &Connection, name: &ServiceName) -> Result<Option<ServiceRecord>> {
    let found = conn
        .prepare_cached("SELECT name, active FROM services WHERE name = ?1")?
        .query_row([name.as_str()], bare_service)
        .optional()?;
    let Some(mut service) = found else {
        return Ok(None);
    };
    let query = format!("{COMPONENTS} WHERE c.service = ?1 ORDER BY c.name");
    service.components = conn
        .prepare_cached(&query)?
        .query_map([name.as_str()], component_record)?
        .collect::<Result<_>>()?;
    Ok(Some(service))
}

/// One component.
pub(super) fn component(conn: &Connection, key: &ComponentKey) -> Result<Option<ComponentRecord>> {
    let query = format!("{COMPONENTS} WHERE c.service = ?1 AND c.name = ?2");
    conn.prepare_cached(&query)?
        .query_row(
            params![key.service.as_str(), key.component.as_str()],
            component_record,
        )
        .optional()
}

/// Every key that has a record.
pub(super) fn recorded_keys(conn: &Connection) -> Result<Vec<ComponentKey>> {
    conn.prepare_cached("SELECT service, name AS component FROM components ORDER BY 1, 2")?
        .query_map([], key)?
        .collect()
}

fn bare_service(row: &Row<'_>) -> Result<ServiceRecord> {
    Ok(ServiceRecord {
        name: text(row, "name")?,
        active: row.get("active")?,
        components: Vec::new(),
    })
}

fn component_record(row: &Row<'_>) -> Result<ComponentRecord> {
    Ok(ComponentRecord {
        key: key(row)?,
        desired: text(row, "desired_state")?,
        spec: json(row, "spec")?,
        revision: count(row, "revision")?,
        generation: count(row, "generation")?,
        intent_at: moment(row, "intent")?,
        intent_by: row.get("intent_by")?,
        orphaned: row.get("orphaned")?,
        container: container(row, "container_id")?,
        stopped: maybe_json(row, "stopped_instance")?,
        made_from: pinned(row, "made_from_revision", "made_from_spec")?,
        deployed: pinned(row, "deployed_revision", "deployed_spec")?,
        observed: text(row, "observed_state")?,
        instance: maybe_json(row, "instance")?,
        observed_since: maybe_moment(row, "observed_since")?,
        exit_code: row.get("exit_code")?,
        version: row.get("version")?,
    })
}

/// A revision with its spec, where both are known.
fn pinned(row: &Row<'_>, revision: &str, spec: &str) -> Result<Option<(u64, ComponentSpec)>> {
    let spec = maybe_json(row, spec)?;
    Ok(maybe_count(row, revision)?.zip(spec))
}
