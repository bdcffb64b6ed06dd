//! Short ways to say what the tests are about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mcp_model::{
    BootId, ComponentKey, ComponentRecord, ComponentSpec, Moment, Operation, OperationId,
    OperationRequest, Origin, Phase, Progress, Request, ServiceName, ServiceSpec, Stamp,
    StepOutcome, StepState, StepUpdate,
};
use mcp_registry::{Accepted, Database, OperationFilter, Options, SyncRequest};
use rusqlite::Connection;
use tempfile::TempDir;

/// 2026-11-20 08:29:13.007 UTC.
pub(crate) const START: i64 = 1_795_163_353_007;

/// A registry file in a folder of its own, and the connection to it.
pub(crate) struct Node {
    pub(crate) db: Database,
    pub(crate) folder: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(&folder.path().join("mcp.db"), &Options::default()).unwrap();
        Self { db, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mcp.db")
    }

    /// As a restart of the agent: the connection goes, the file stays.
    pub(crate) fn reopen(self) -> Self {
        let Self { db, folder } = self;
        drop(db);
        let db = Database::open(&folder.path().join("mcp.db"), &Options::default()).unwrap();
        Self { db, folder }
    }

    /// What is stored of a component.
    pub(crate) fn record(&self, text: &str) -> ComponentRecord {
        self.db.load(&key(text)).unwrap().record.unwrap()
    }

    /// Where the steps of an operation stand, by component.
    pub(crate) fn states(&self, operation: &str) -> Vec<StepState> {
        let operation = self.db.operation(operation);
        operation.steps.iter().map(|step| step.state).collect()
    }

    /// A connection of somebody with `sqlite3` at hand.
    pub(crate) fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(crate) fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Every row of every table but `audit`.
    pub(crate) fn dump(&self) -> Vec<String> {
        let conn = self.sql();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('audit', 'sqlite_sequence')
                      ORDER BY name";
        let names: Vec<String> = conn
            .prepare(tables)
            .unwrap()
            .query_map([], |r| r.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        names.iter().flat_map(|table| rows(&conn, table)).collect()
    }
}

fn rows(conn: &Connection, table: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = statement.column_count();
    statement
        .query_map([], |row| {
            let values: Vec<_> = (0..columns)
                .map(|i| {
                    row.get::<_, rusqlite::types::Value>(i)
                        .map(|v| format!("{v:?}"))
                })
                .collect::<Result<_, _>>()?;
            Ok(format!("{table}: {}", values.join(" | ")))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

pub(crate) fn key(text: &str) -> ComponentKey {
    text.parse().unwrap()
}

pub(crate) fn service_name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> OperationId {
    text.parse().unwrap()
}

/// So many milliseconds after the start, on both clocks.
pub(crate) fn at(millis: u64) -> Moment {
    Moment {
        wall: Stamp::from_millis(START).plus(Duration::from_millis(millis)),
        boot: Duration::from_hours(1) + Duration::from_millis(millis),
        boot_id: BootId(7),
    }
}

pub(crate) fn minutes(count: u64) -> Moment {
    at(count * 60_000)
}

pub(crate) fn image(tag: &str) -> ComponentSpec {
    ComponentSpec::of_image(format!("localhost/app:{tag}").parse().unwrap())
}

/// A service of components with images of these tags.
pub(crate) fn service(name: &str, components: &[(&str, &str)]) -> ServiceSpec {
    let components = components
        .iter()
        .map(|(name, tag)| (name.parse().unwrap(), image(tag)));
    ServiceSpec {
        name: service_name(name),
        active: true,
        components: components.collect(),
    }
}

pub(crate) fn origin() -> Origin {
    Origin {
        caller: "bob".into(),
        peer: "192.0.2.1:5".into(),
        method: "/mcp.v1.McpAgentService/Test".into(),
        host: String::new(),
    }
}

pub(crate) fn request(operation: &str, request: Request, at: Moment) -> OperationRequest {
    OperationRequest {
        id: id(operation),
        request,
        origin: origin(),
        message: "because".into(),
        force: false,
        at,
    }
}

pub(crate) fn deploy(service: &ServiceSpec) -> Request {
    Request::Deploy {
        service: service.clone(),
        only: None,
    }
}

pub(crate) fn deploy_only(service: &ServiceSpec, component: &str) -> Request {
    Request::Deploy {
        service: service.clone(),
        only: Some(component.parse().unwrap()),
    }
}

pub(crate) fn undeploy(service: &str, only: Option<&str>) -> Request {
    Request::Undeploy {
        service: service_name(service),
        only: only.map(|name| name.parse().unwrap()),
    }
}

pub(crate) fn start(service: &str) -> Request {
    Request::Start(service_name(service))
}

pub(crate) fn stop(service: &str) -> Request {
    Request::Stop(service_name(service))
}

pub(crate) fn restart(service: &str) -> Request {
    Request::Restart(service_name(service))
}

pub(crate) fn sync(services: &[ServiceSpec], at: Moment) -> SyncRequest {
    SyncRequest {
        services: services.to_vec(),
        origin: origin(),
        message: String::new(),
        force: false,
        at,
    }
}

pub(crate) fn update(operation: &str, key: &ComponentKey) -> StepUpdate {
    StepUpdate {
        operation: id(operation),
        key: key.clone(),
        phase: Phase::Pulling,
        progress: Progress::default(),
        stopping: None,
    }
}

pub(crate) fn outcome(operation: &str, key: &ComponentKey, state: StepState) -> StepOutcome {
    StepOutcome {
        operation: id(operation),
        key: key.clone(),
        state,
        error: if state == StepState::Failed {
            "no such image".into()
        } else {
            String::new()
        },
        at: at(5_000),
    }
}

/// What the tests do most.
pub(crate) trait Shorthand {
    fn accepted(&mut self, operation: &str, what: Request, at: Moment) -> Accepted;
    fn done(&mut self, operation: &str, key: &ComponentKey, state: StepState);
    fn operation(&self, operation: &str) -> Operation;
    /// Deploys a service and settles every step as succeeded.
    fn deployed(&mut self, operation: &str, service: &ServiceSpec);
}

impl Shorthand for Database {
    fn accepted(&mut self, operation: &str, what: Request, at: Moment) -> Accepted {
        self.accept(&request(operation, what, at)).unwrap()
    }

    fn done(&mut self, operation: &str, key: &ComponentKey, state: StepState) {
        self.settle(&outcome(operation, key, state)).unwrap();
    }

    fn operation(&self, operation: &str) -> Operation {
        let filter = OperationFilter {
            id: Some(id(operation)),
            limit: 1,
            ..OperationFilter::default()
        };
        self.operations(&filter).unwrap().remove(0)
    }

    fn deployed(&mut self, operation: &str, service: &ServiceSpec) {
        self.accepted(operation, deploy(service), at(0));
        for key in service.keys() {
            self.done(operation, &key, StepState::Succeeded);
        }
    }
}
